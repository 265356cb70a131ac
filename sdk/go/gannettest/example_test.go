package gannettest_test

import (
	"testing"

	"gannet/sdk/go"
	"gannet/sdk/go/gannettest"
)

// testApp is a test of an app, called TestApp there: what alice sends bob receives, also
// when the server restarts in between.
func testApp(t *testing.T) {
	s := gannettest.Start(t)
	alice, err := gannet.Dial(t.Context(), s.Address(), s.Token(1))
	if err != nil {
		t.Fatal(err)
	}
	defer alice.Close(t.Context())
	bob, err := gannet.Dial(t.Context(), s.Address(), s.Token(2))
	if err != nil {
		t.Fatal(err)
	}
	defer bob.Close(t.Context())

	if _, err := alice.Send(t.Context(), gannet.User(2), gannet.Text("hello")); err != nil {
		t.Fatal(err)
	}
	s.Restart()
	for m, err := range bob.Messages(t.Context()) {
		if err != nil || m.Text() != "hello" {
			t.Errorf("bob received %q, %v", m.Text(), err)
		}
		break
	}
}

func ExampleStart() {
	_ = testApp // go test calls it
}
