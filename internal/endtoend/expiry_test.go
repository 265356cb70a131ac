package endtoend

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"gannet/internal/token"
	"gannet/protocol"
	gannet "gannet/sdk/go"
)

// A connection ends with its token. A client that has a source of tokens goes on with
// the next one, and what it sends meanwhile arrives.
func TestTokenEndsUnderAConnection(t *testing.T) {
	s := startServer(t)
	keys, err := token.LoadKeys(s.data + "/keys")
	if err != nil {
		t.Fatal(err)
	}
	brief := func(user uint64) string {
		signed, err := keys.Sign(user, 5*time.Second, time.Now())
		if err != nil {
			t.Error(err)
		}
		return signed
	}
	raw := dialRaw(t, s.Address())
	raw.send(protocol.Hello{Version: protocol.Version, Token: []byte(brief(7)), Device: 7}.AppendFrame(nil, 1))
	if f := raw.next(); f.Type != protocol.TypeWelcome {
		t.Fatalf("login: %v", f.Type)
	}
	var asked atomic.Int32
	c, err := gannet.Dial(t.Context(), s.Address(), "", gannet.WithTokenSource(func(context.Context) (string, error) {
		if asked.Add(1) == 1 {
			return brief(1), nil
		}
		return sign(t, s.data, 1), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	f := raw.next()
	var m protocol.Failure
	if err := m.Decode(f.Payload); err != nil || f.Type != protocol.TypeClose || m.Code != protocol.CodeTokenExpired {
		t.Errorf("came %v %v (%v), want CLOSE token_expired", f.Type, m.Code, err)
	}
	await(t, "the source was asked again", func() bool { return asked.Load() == 2 })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := c.Send(ctx, gannet.User(2), gannet.Text("still here")); err != nil {
		t.Errorf("send: %v", err)
	}
	if err := c.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("the source was asked %d times", n)
	}
}
