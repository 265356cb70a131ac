package command

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	gannet "gannet/sdk/go"
)

// A line may be read before its id is known here.
func TestScreenTellsOfALineThatIsReadAtOnce(t *testing.T) {
	var out, notes strings.Builder
	s := newScreen(1, 2, true, &out, &notes)
	c, err := gannet.New("127.0.0.1:1", "x")
	if err != nil {
		t.Fatal(err)
	}
	to := gannet.User(2)
	err = s.give("quick", func() (uint64, error) {
		s.outcome(t.Context(), c, gannet.Outcome{ID: 5, To: to, Ack: gannet.Ack{Seq: 9}})
		s.receipt(t.Context(), c, gannet.Receipt{Conversation: to, User: 2, Read: 9})
		return 5, nil
	})
	if err != nil {
		t.Error(err)
	}
	if want := "* acked: quick\n* read by 2: quick\n"; notes.String() != want {
		t.Errorf("it says %q, want %q", notes.String(), want)
	}
}

// line is a connection that a test breaks and mends.
type line struct {
	mu   sync.Mutex
	conn net.Conn
	open chan struct{} // closed while dials succeed
}

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	l.mu.Lock()
	open := l.open
	l.mu.Unlock()
	select {
	case <-open:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = conn
	return conn, err
}

// broken breaks it, and gives what mends it.
func (l *line) broken() (mend func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = make(chan struct{})
	l.conn.Close()
	return func() { close(l.open) }
}

// notes is what a screen says, for a test that waits for it.
type notes struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{}
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case n.more <- struct{}{}:
	default:
	}
	return n.text.Write(p)
}

func (n *notes) sees(t *testing.T, text string) {
	t.Helper()
	for deadline := time.After(time.Minute); ; {
		n.mu.Lock()
		said := n.text.String()
		n.mu.Unlock()
		if strings.Contains(said, text) {
			return
		}
		select {
		case <-n.more:
		case <-deadline:
			t.Fatalf("it does not say %q:\n%s", text, said)
		}
	}
}

// What was read while the connection was away is said once it is back.
func TestScreenTellsWhatWasReadWhileItWasAway(t *testing.T) {
	server, _ := chatServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	said := &notes{more: make(chan struct{}, 1)}
	s := newScreen(1, 2, true, said, said)
	l := &line{open: make(chan struct{})}
	close(l.open)
	alice, err := gannet.Dial(ctx, server.Address(), tokenOf(t, server, 1), gannet.WithDialer(l.dial),
		gannet.WithBackoff(time.Millisecond, 10*time.Millisecond),
		gannet.WithHandler(gannet.Handler{Message: s.message, Outcome: s.outcome, Receipt: s.receipt, Event: s.event}))
	if err != nil {
		t.Fatal(err)
	}
	if !s.post(ctx, alice, "hello") {
		t.Fatal("the line is not taken")
	}
	said.sees(t, "* acked: hello\n")
	mend := l.broken()
	said.sees(t, "* connection lost")
	bob, err := gannet.Dial(ctx, server.Address(), tokenOf(t, server, 2))
	if err != nil {
		t.Fatal(err)
	}
	if err := bob.MarkRead(gannet.User(1), 1); err != nil {
		t.Fatal(err)
	}
	if err := bob.Close(ctx); err != nil {
		t.Fatal(err)
	}
	mend()
	said.sees(t, "* read by 2: hello\n")
	if err := alice.Close(ctx); err != nil {
		t.Error(err)
	}
}

// What another device had received is read once it stands in the history on the screen.
func TestChatReadsTheHistoryThatItShows(t *testing.T) {
	server, chat := chatServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	alice, err := gannet.Dial(ctx, server.Address(), tokenOf(t, server, 1))
	if err != nil {
		t.Fatal(err)
	}
	phone, err := gannet.Dial(ctx, server.Address(), tokenOf(t, server, 2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alice.Send(ctx, gannet.User(2), gannet.Text("hello")); err != nil {
		t.Fatal(err)
	}
	received, stop := context.WithCancel(ctx)
	for _, err := range phone.Messages(received) {
		if err != nil {
			t.Fatal(err)
		}
		stop()
	}
	stop()
	if err := phone.Close(ctx); err != nil {
		t.Fatal(err)
	}
	bob := chat(2, 1)
	for _, step := range []struct {
		lines int
		read  uint64
	}{{0, 0}, {5, 1}} {
		bob.History = &step.lines
		var out, notes strings.Builder
		if err := bob.chat(ctx, strings.NewReader(""), false, &out, &notes); err != nil {
			t.Fatal(err)
		}
		list, err := alice.Conversations(ctx, 1)
		if err != nil || len(list) != 1 || list[0].PeerRead != step.read {
			t.Errorf("with %d lines of history, %q, the other has read as %+v says, %v", step.lines, out.String(), list, err)
		}
	}
	if err := alice.Close(ctx); err != nil {
		t.Error(err)
	}
}
