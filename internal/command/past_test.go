package command

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	gannet "gannet/sdk/go"
)

// At its start a chat by hand shows the last lines, whichever of them this user's other
// devices have received: what was missed is among them, and all of it where it is more.
func TestScreenBeginsWithTheLastLines(t *testing.T) {
	server, chat := chatServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	bob, err := gannet.Dial(ctx, server.Address(), tokenOf(t, server, 2))
	if err != nil {
		t.Fatal(err)
	}
	defer bob.Close(ctx)
	sent := 0
	send := func(n int) {
		t.Helper()
		for range n {
			sent++
			if _, err := bob.Send(ctx, gannet.User(1), gannet.Text(fmt.Sprint("line ", sent, "."))); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, missed := range []int{9, 3, 15, 1} {
		send(missed)
		said := &notes{more: make(chan struct{}, 1)}
		input, typing := io.Pipe()
		done := make(chan error, 1)
		go func() { done <- chat(1, 2).chat(ctx, input, true, said, said) }()
		said.sees(t, fmt.Sprint("line ", sent, "."))
		typing.Close()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		var want strings.Builder
		for n := max(1, sent+1-max(missed, historyLines)); n <= sent; n++ {
			fmt.Fprintf(&want, "line %d.|", n)
		}
		var got strings.Builder
		for line := range strings.Lines(said.text.String()) {
			if _, text, ok := strings.Cut(strings.TrimSpace(line), " 2: "); ok {
				got.WriteString(text + "|")
			}
		}
		if got.String() != want.String() {
			t.Errorf("with %d missed of %d it shows\n%s, want\n%s", missed, sent, &got, &want)
		}
	}
}
