package gannettest_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"gannet/sdk/go"
	"gannet/sdk/go/gannettest"
)

// patience bounds every wait; nothing here takes a fraction of it.
const patience = 60 * time.Second

// dial logs a user in, for the life of the test.
func dial(t *testing.T, s *gannettest.Server, user uint64, opts ...gannet.Option) *gannet.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	opts = append([]gannet.Option{gannet.WithBackoff(time.Millisecond, 50*time.Millisecond)}, opts...)
	c, err := gannet.Dial(ctx, s.Address(), s.Token(user), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return c
}

// send sends a text and waits for its ack.
func send(t *testing.T, c *gannet.Client, to uint64, text string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := c.Send(ctx, gannet.User(to), gannet.Text(text))
	return err
}

// next gives what a client receives next.
func next(t *testing.T, c *gannet.Client) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for m, err := range c.Messages(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(m.Sender, " ", m.Text())
	}
	t.Fatal("nothing was received")
	return ""
}

func TestTwoChat(t *testing.T) {
	s := gannettest.Start(t)
	alice, bob := dial(t, s, 1), dial(t, s, 2)
	if alice.User() != 1 || bob.User() != 2 {
		t.Errorf("they are %d and %d", alice.User(), bob.User())
	}
	if err := send(t, alice, 2, "hello"); err != nil {
		t.Fatal(err)
	}
	if got := next(t, bob); got != "1 hello" {
		t.Errorf("bob received %q", got)
	}
}

// A restart keeps what was acked, the address and the tokens, and clients come back by
// themselves; while it is stopped nobody listens.
func TestRestart(t *testing.T) {
	s := gannettest.Start(t)
	token := s.Token(1)
	lost := make(chan struct{}, 100)
	alice := dial(t, s, 1, gannet.WithHandler(gannet.Handler{Event: func(_ context.Context, _ *gannet.Client, e gannet.Event) {
		if e.Kind == gannet.EventLost {
			lost <- struct{}{}
		}
	}}))
	if err := send(t, alice, 2, "before"); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	s.Stop() // does nothing
	if conn, err := net.Dial("tcp", s.Address()); err == nil {
		conn.Close()
		t.Error("somebody listens though the server is stopped")
	}
	select {
	case <-lost:
	case <-time.After(patience):
		t.Fatal("the client does not notice that the server has stopped")
	}
	if s.Token(1) == "" {
		t.Error("no token while it is stopped")
	}
	address := s.Address()
	s.Restart()
	if s.Address() != address {
		t.Errorf("it was at %s and is at %s", address, s.Address())
	}
	if err := send(t, alice, 2, "between"); err != nil {
		t.Fatal(err)
	}
	s.Restart() // of one that runs
	if err := send(t, alice, 2, "after"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	again, err := gannet.Dial(ctx, s.Address(), token)
	if err != nil {
		t.Fatalf("a token from before the restarts: %v", err)
	}
	var texts []string
	for m, err := range again.History(ctx, gannet.User(2), gannet.After(0)) {
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, m.Text())
	}
	if !slices.Equal(texts, []string{"before", "between", "after"}) {
		t.Errorf("the history is %q", texts)
	}
	if err := again.Close(ctx); err != nil {
		t.Error(err)
	}
}

// Without flags an app may send as fast as it can; with them limits are as they are set.
func TestLimitsAreOffUnlessAsked(t *testing.T) {
	refusals := func(s *gannettest.Server) (n int) {
		refused := make(chan struct{}, 1000)
		c := dial(t, s, 1, gannet.WithHandler(gannet.Handler{Event: func(_ context.Context, _ *gannet.Client, e gannet.Event) {
			if e.Kind == gannet.EventHeld && errors.Is(e.Err, gannet.CodeRateLimited) {
				refused <- struct{}{}
			}
		}}))
		for range 20 {
			if err := send(t, c, 2, "again"); err != nil {
				t.Fatal(err)
			}
		}
		return len(refused)
	}
	if n := refusals(gannettest.Start(t)); n != 0 {
		t.Errorf("without limits %d messages were refused", n)
	}
	if n := refusals(gannettest.Start(t, "--limits", "on", "--limit-sends", "1/5")); n == 0 {
		t.Error("no message was refused though 5 at once are the limit")
	}
}

// Tests may run in parallel: each server has its own users, and knows no token of another.
func TestServersAreApart(t *testing.T) {
	one, other := gannettest.Start(t), gannettest.Start(t)
	if one.Address() == other.Address() {
		t.Fatal("two servers have one address")
	}
	_, err := gannet.Dial(t.Context(), one.Address(), other.Token(1))
	if !errors.Is(err, gannet.CodeBadToken) {
		t.Errorf("a token of another server gives %v", err)
	}
}

// fatal is a test that notes why it ends.
type fatal struct {
	testing.TB
	said string
}

func (f *fatal) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	panic(f)
}

func TestWhatFailsIsSaid(t *testing.T) {
	s := gannettest.Start(t)
	for what, c := range map[string]struct {
		do   func(t testing.TB)
		says string
	}{
		"no such flag": {func(t testing.TB) { gannettest.Start(t, "--lanes", "plenty") }, "lanes"},
		"a taken port": {func(t testing.TB) { gannettest.Start(t, "--listen", s.Address()) }, "address already in use"},
		"user 0":       {func(t testing.TB) { gannettest.Start(t).Token(0) }, "users are numbers from 1"},
	} {
		f := &fatal{TB: t}
		func() {
			defer func() { _ = recover() }()
			c.do(f)
		}()
		if !strings.Contains(f.said, c.says) {
			t.Errorf("%s: it says %q", what, f.said)
		}
	}
}
