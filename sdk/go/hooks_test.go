package gannet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"gannet/protocol"
)

// stuck is a handler whose message hook waits until the test ends, whatever its
// context says; entered gets a token with each call.
func stuck(t *testing.T) (h Handler, entered chan struct{}) {
	entered = make(chan struct{}, 10)
	end := make(chan struct{})
	t.Cleanup(func() { close(end) })
	return Handler{Message: func(context.Context, *Client, Message) error {
		entered <- struct{}{}
		<-end
		return nil
	}}, entered
}

func TestCloseHeedsItsContextWhileAHookWaits(t *testing.T) {
	s := newServer(t)
	h, entered := stuck(t)
	c := join(t, s, 2, WithHandler(h))
	s.say(1, User(2), "1")
	<-entered
	ctx, cancel := context.WithCancel(testContext(t))
	closed := make(chan error)
	go func() { closed <- c.Close(ctx) }()
	<-c.quit
	select {
	case err := <-closed:
		t.Fatalf("Close did not wait for the hook: %v", err)
	default:
	}
	cancel()
	if err := <-closed; err != nil { // nothing was sent, so all of it is acked
		t.Errorf("Close: %v", err)
	}
	s.until("the connection is gone", func() bool { return len(s.peers) == 0 })
}

func TestDialHeedsItsContextWhileTheAppWaits(t *testing.T) {
	end := make(chan struct{})
	defer close(end)
	for what, opt := range map[string]Option{
		"token source": WithTokenSource(func(context.Context) (string, error) {
			<-end
			return "", nil
		}),
		"event hook": WithHandler(Handler{Event: func(context.Context, *Client, Event) { <-end }}),
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		if _, err := Dial(ctx, "127.0.0.1:1", "x", opt, WithBackoff(time.Millisecond, time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", what, err)
		}
		cancel()
	}
}

// Close waits for the hook that is running, whose message counts as received, and
// begins no other.
func TestCloseLetsTheRunningHookFinish(t *testing.T) {
	s := newServer(t)
	entered, end := make(chan struct{}), make(chan struct{})
	var calls atomic.Int32
	c := join(t, s, 2, WithHandler(Handler{Message: func(ctx context.Context, _ *Client, _ Message) error {
		calls.Add(1)
		entered <- struct{}{}
		<-end
		return ctx.Err() // it has not ended
	}}))
	s.say(1, User(2), "1")
	s.say(1, User(2), "2")
	<-entered
	closed := make(chan error)
	go func() { closed <- c.Close(testContext(t)) }()
	<-c.quit
	close(end)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("the hook was called %d times", n)
	}
	s.until("PUSHACK of the first", func() bool { return s.delivered(2, pair) == 1 })
}

func TestAHookMayClose(t *testing.T) {
	s := newServer(t)
	closed := make(chan error, 1)
	c := join(t, s, 2, WithHandler(Handler{Message: func(ctx context.Context, c *Client, _ Message) error {
		closed <- c.Close(ctx)
		return nil
	}}))
	s.say(1, User(2), "1")
	if err := <-closed; err != nil {
		t.Error(err)
	}
	<-c.Done()
}

// What a hook posts goes out though the hook does not return, also when the reader expected
// it to be quick.
func TestAHookThatPostsAndWaits(t *testing.T) {
	s := newServer(t)
	looked, end := make(chan struct{}), make(chan struct{})
	c := join(t, s, 2, WithHandler(Handler{Message: func(ctx context.Context, c *Client, m Message) error {
		if _, err := c.Post(ctx, User(3), Text("re: "+m.Text())); err != nil {
			t.Error(err)
		}
		if m.Text() != "last" {
			return nil
		}
		<-looked
		if _, err := c.Post(ctx, User(3), Text("and another")); err != nil { // the reader must be woken
			t.Error(err)
		}
		<-end
		return nil
	}}))
	for i := range 20 {
		s.say(1, User(2), fmt.Sprint(i))
		s.until("the answer", func() bool { return s.count(protocol.TypeSend) == i+1 })
	}
	s.say(1, User(2), "last")
	s.until("the answer of the hook that waits", func() bool { return s.count(protocol.TypeSend) == 21 })
	for deadline := time.Now().Add(patience); c.lazy.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the reader expects the hook to be quick for ever")
		}
	}
	close(looked)
	s.until("the second answer of the hook that waits", func() bool { return s.count(protocol.TypeSend) == 22 })
	close(end)
	if err := c.Close(testContext(t)); err != nil {
		t.Error(err)
	}
}

// While a hook waits, everything else goes on: acks come, requests are answered, and
// what arrives is bounded.
func TestAHookThatWaitsHoldsUpNothing(t *testing.T) {
	s := newServer(t)
	h, entered := stuck(t)
	c := join(t, s, 2, WithHandler(h))
	s.say(1, User(2), "0")
	<-entered
	for i := range 2 * maxQueue {
		s.say(1, User(2), fmt.Sprint(i+1))
	}
	if _, err := c.Send(testContext(t), User(3), Text("x")); err != nil {
		t.Error(err)
	}
	s.settled(t, c)
	c.queue.mu.Lock()
	defer c.queue.mu.Unlock()
	if n := len(c.queue.items) - c.queue.head; n > maxQueue || n < 2 {
		t.Errorf("%d messages wait", n)
	}
}

// What a hook refuses comes again, before what follows it in its conversation, and
// other conversations go on; the server hears of nothing that was not received.
func TestARefusedMessageComesAgain(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	d := newDiary()
	h := d.handler()
	note := h.Message
	refusals := 0
	h.Message = func(ctx context.Context, c *Client, m Message) error {
		if m.Text() == "b" && refusals < 2 {
			refusals++
			return errors.New("the app has no room")
		}
		return note(ctx, c, m)
	}
	join(t, s, 2, WithHandler(h))
	for _, text := range []string{"a", "b", "c", "d"} {
		s.say(1, User(2), text)
	}
	s.say(3, User(2), "other")
	d.until(t, "the other conversation", func() bool { return slices.Contains(d.texts(), "other") })
	d.mu.Lock()
	if texts := d.texts(); slices.Contains(texts, "c") {
		t.Errorf("%v: c came before b", texts)
	}
	d.mu.Unlock()
	s.until("PUSHACK of a", func() bool { return s.delivered(2, pair) >= 1 })
	s.cut() // a new connection makes no difference
	d.until(t, "all", func() bool { return len(d.messages) >= 5 })
	texts := slices.DeleteFunc(d.texts(), func(text string) bool { return text == "other" })
	if !slices.Equal(texts, []string{"a", "b", "c", "d"}) || refusals != 2 {
		t.Errorf("received %v after %d refusals", texts, refusals)
	}
	s.until("PUSHACK of all", func() bool { return s.delivered(2, pair) == 4 })
}

func TestARefusedMessageComesToTheNextClient(t *testing.T) {
	s := newServer(t)
	refused := make(chan struct{}, 100)
	store := openStore(t, t.TempDir())
	c := join(t, s, 2, WithStore(store), WithHandler(Handler{Message: func(_ context.Context, _ *Client, m Message) error {
		if m.Text() == "1" {
			return nil
		}
		refused <- struct{}{}
		return errors.New("no")
	}}))
	s.say(1, User(2), "1")
	s.say(1, User(2), "2")
	<-refused
	if err := c.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	d := newDiary()
	join(t, s, 2, WithStore(store), WithHandler(d.handler()))
	d.expect(t, "2")
}

func TestReceiptsOfASlowHookAreBounded(t *testing.T) {
	s := newServer(t)
	entered, end := make(chan struct{}, 1), make(chan struct{})
	var receipts []Receipt
	c := join(t, s, 1, WithHandler(Handler{Receipt: func(_ context.Context, _ *Client, r Receipt) {
		select {
		case entered <- struct{}{}:
		default:
		}
		<-end
		receipts = append(receipts, r)
	}}))
	const n = 3 * maxReceipts
	s.emit(protocol.Receipt{Target: User(1).wire(), User: 2, Read: 1}.AppendFrame(nil))
	<-entered
	for i := range uint64(n) {
		s.emit(protocol.Receipt{Target: User(1).wire(), User: 3 + i%2, Read: i + 1}.AppendFrame(nil))
	}
	s.settled(t, c)
	close(end)
	if err := c.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	last := map[uint64]uint64{}
	for _, r := range receipts {
		if r.Read <= last[r.User] {
			t.Errorf("user %d: %d after %d", r.User, r.Read, last[r.User])
		}
		last[r.User] = r.Read
	}
	if len(receipts) > maxReceipts+1 || last[3] != n-1 || last[4] != n {
		t.Errorf("%d receipts, the last say %v", len(receipts), last)
	}
}

func TestEventsTellTheStory(t *testing.T) {
	s := newServer(t)
	s.whisper(1, User(2), "missed")
	d := newDiary()
	end := make(chan struct{})
	h := d.handler()
	note := h.Message
	h.Message = func(ctx context.Context, c *Client, m Message) error {
		<-end
		return note(ctx, c, m)
	}
	c := join(t, s, 2, WithHandler(h))
	s.settled(t, c)
	d.mu.Lock()
	if d.count(EventCaughtUp) != 0 {
		t.Error("caught up before the app received what it missed")
	}
	d.mu.Unlock()
	close(end)
	d.until(t, "caught up", func() bool { return d.count(EventCaughtUp) == 1 && len(d.messages) == 1 })
	s.cut()
	d.until(t, "caught up again", func() bool { return d.count(EventCaughtUp) == 2 })
	if err := c.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	want := []EventKind{EventConnected, EventCaughtUp, EventLost, EventConnected, EventCaughtUp, EventEnded}
	var have []EventKind
	for _, e := range d.events {
		have = append(have, e.Kind)
		if (e.Err == nil) == (e.Kind == EventLost) || (e.Address == s.addr()) == (e.Kind == EventEnded) {
			t.Errorf("%v: address %q, %v", e.Kind, e.Address, e.Err)
		}
	}
	if !slices.Equal(have, want) {
		t.Errorf("events %v, want %v", have, want)
	}
}
