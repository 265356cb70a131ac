package gannet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"gannet/protocol"
)

func TestEveryOutcomeIsHeard(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	alice := join(t, s, 1, WithHandler(d.handler()))
	s.play(func(p *peer, f protocol.Frame) bool {
		if f.Type == protocol.TypeSend && decode[protocol.Send](t, f.Payload).Target.ID == 3 {
			p.write(protocol.Failure{Code: protocol.CodeBadTarget}.AppendError(nil, f.Request))
			return true
		}
		return false
	})
	taken := post(t, alice, User(2), "taken")
	refused := post(t, alice, User(3), "refused")
	ack, err := alice.Send(testContext(t), User(2), Text("waited for"))
	if err != nil {
		t.Fatal(err)
	}
	d.until(t, "outcomes", func() bool { return len(d.outcomes) == 3 })
	for i, want := range []Outcome{{ID: taken.ID(), To: User(2)}, {ID: refused.ID(), To: User(3)}, {ID: ack.ID, To: User(2), Ack: ack}} {
		have := d.outcomes[i]
		if have.ID != want.ID || have.To != want.To || (have.Err != nil) != (i == 1) || i == 1 && !errors.Is(have.Err, CodeBadTarget) ||
			i != 1 && have.Ack.ID != want.ID || i == 2 && have.Ack != ack {
			t.Errorf("outcome %d is %+v, want %+v", i, have, want)
		}
	}
	for range 2 { // any number of times
		if a, err := taken.Wait(testContext(t)); err != nil || a != d.outcomes[0].Ack {
			t.Errorf("%+v, %v", a, err)
		}
	}
	if _, err := refused.Wait(testContext(t)); !errors.Is(err, CodeBadTarget) {
		t.Errorf("refused: %v", err)
	}
	if n := alice.Waiting(); n != 0 {
		t.Errorf("%d wait", n)
	}
}

// A restart between everything: the outcome of each message is heard in some life,
// also when the app died before its hook returned.
func TestOutcomesOfStoredMessagesAreHeardAfterARestart(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	store := openStore(t, dir)
	hearing, end := make(chan struct{}), make(chan struct{})
	alice := join(t, s, 1, WithStore(store), WithHandler(Handler{Outcome: func(context.Context, *Client, Outcome) {
		hearing <- struct{}{}
		<-end // the app dies here
	}}))
	answered := post(t, alice, User(2), "answered, but not heard")
	<-hearing
	s.settled(t, alice)
	s.play(func(_ *peer, f protocol.Frame) bool { return f.Type == protocol.TypeSend })
	waiting := post(t, alice, User(2), "not answered")
	s.until("SEND", func() bool { return s.count(protocol.TypeSend) == 2 })
	if n := alice.Waiting(); n != 1 {
		t.Errorf("%d wait, want 1", n)
	}
	alice.end(errors.New("crash"))
	<-alice.ended
	if _, err := waiting.Wait(testContext(t)); !errors.Is(err, ErrKept) || errors.Is(err, ErrClosed) {
		t.Errorf("the message that a store keeps: %v", err)
	}
	store.Close() // before the hook returns, as a death does
	close(end)
	<-alice.hooks.ended

	s.play(nil)
	d := newDiary()
	c, err := New(s.addr(), "user 1", WithStore(openStore(t, dir)), WithHandler(d.handler()))
	if err != nil {
		t.Fatal(err)
	}
	if n := c.Waiting(); n != 1 {
		t.Errorf("%d wait after the restart, want 1", n)
	}
	if err := c.Connect(testContext(t)); err != nil {
		t.Fatal(err)
	}
	d.until(t, "both outcomes", func() bool { return len(d.outcomes) == 2 })
	for i, id := range []uint64{answered.ID(), waiting.ID()} {
		if o := d.outcomes[i]; o.ID != id || o.To != User(2) || o.Err != nil || o.Ack.Seq != uint64(i+1) || o.Ack.ID != id || o.Ack.Time.IsZero() {
			t.Errorf("outcome %d: %+v", i, o)
		}
	}
	if err := c.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if left := c.journal.saved.taken; len(left) != 0 {
		t.Errorf("the store keeps %+v", left)
	}
}

func TestClosedKeptAndAbandonedDiffer(t *testing.T) {
	s := newServer(t)
	s.play(func(_ *peer, f protocol.Frame) bool { return f.Type == protocol.TypeSend })
	for what, test := range map[string]struct {
		opts []Option
		fate error
	}{
		"without a store": {nil, ErrAbandoned},
		"with a store":    {[]Option{WithStore(openStore(t, t.TempDir()))}, ErrKept},
	} {
		d := newDiary()
		c := join(t, s, 1, append(test.opts, WithHandler(d.handler()))...)
		sent := post(t, c, User(2), "x")
		ctx, cancel := context.WithCancel(testContext(t))
		cancel()
		if err := c.Close(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: Close: %v", what, err)
		}
		<-sent.Done()
		if _, err := sent.Wait(testContext(t)); !errors.Is(err, test.fate) || errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
		<-c.hooks.ended
		if told := len(d.outcomes); told != 1 && test.fate == ErrAbandoned || told != 0 && test.fate == ErrKept {
			t.Errorf("%s: outcomes %v", what, d.outcomes)
		}
		if _, err := c.Send(testContext(t), User(2), Text("late")); !errors.Is(err, ErrClosed) || errors.Is(err, ErrKept) || errors.Is(err, ErrAbandoned) {
			t.Errorf("%s: after Close: %v", what, err)
		}
	}
}

func TestIDsOfTheApp(t *testing.T) {
	s := newServer(t)
	store := openStore(t, t.TempDir())
	c := join(t, s, 1, WithStore(store))
	send := func(id uint64) (Ack, error) {
		d := Text("x")
		d.ID = id
		return c.Send(testContext(t), User(2), d)
	}
	for _, id := range []uint64{5, 7} {
		if ack, err := send(id); err != nil || ack.ID != id {
			t.Errorf("id %d: %+v, %v", id, ack, err)
		}
	}
	for _, id := range []uint64{7, 6, 1} {
		if _, err := send(id); !errors.Is(err, ErrID) {
			t.Errorf("id %d after 7: %v", id, err)
		}
	}
	clock := uint64(time.Now().Add(-time.Minute).UnixMicro())
	if ack, err := send(0); err != nil || ack.ID < clock {
		t.Errorf("the id that the client chose: %+v, %v", ack, err)
	}
	crash(c)
	c = join(t, s, 1, WithStore(store))
	if _, err := send(7); !errors.Is(err, ErrID) {
		t.Errorf("an id of a life before: %v", err)
	}
	var ids []uint64
	for _, m := range s.conversations[pair].messages {
		ids = append(ids, m.ClientID)
	}
	if len(ids) != 3 || ids[0] != 5 || ids[1] != 7 {
		t.Errorf("the server has ids %v", ids)
	}
}

// An app without a store that sends again under the same id makes no second message.
func TestTheSameIDIsTheSameMessage(t *testing.T) {
	s := newServer(t)
	var acks [2]Ack
	for i := range acks {
		c := join(t, s, 1, WithDevice(9))
		d := Text("once")
		d.ID = 40
		var err error
		if acks[i], err = c.Send(testContext(t), User(2), d); err != nil {
			t.Fatal(err)
		}
		crash(c)
	}
	if acks[0] != acks[1] || len(s.conversations[pair].messages) != 1 {
		t.Errorf("acks %+v", acks)
	}
}

// However far behind the hook of outcomes is, what waits for it is bounded, and a hook
// may still send.
func TestOutcomesOfAStuckHookAreBounded(t *testing.T) {
	s := newServer(t)
	entered, end, left := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	var once sync.Once
	var inHook error
	c := join(t, s, 1, WithWindow(protocol.MaxUnacked), WithHandler(Handler{Outcome: func(ctx context.Context, c *Client, _ Outcome) {
		once.Do(func() {
			entered <- struct{}{}
			<-end
			_, inHook = c.Send(ctx, User(3), Text("from the hook"))
			close(left)
		})
	}}))
	post(t, c, User(2), "first")
	<-entered
	taken := 1
	for ; taken <= 2*maxUnheard; taken++ {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := c.Post(ctx, User(2), Text("x"))
		cancel()
		if errors.Is(err, ErrWindow) && c.Waiting() == 0 {
			break
		} else if err != nil && !errors.Is(err, ErrWindow) {
			t.Fatal(err)
		}
	}
	if taken > maxUnheard+protocol.MaxUnacked {
		t.Errorf("%d messages were taken while nobody heard of any", taken)
	}
	close(end)
	<-left
	if err := c.Close(testContext(t)); err != nil || inHook != nil {
		t.Errorf("Close: %v; the hook's Send: %v", err, inHook)
	}
}

func TestFlush(t *testing.T) {
	s := newServer(t)
	c := join(t, s, 1)
	s.settled(t, c)
	var held []func()
	s.play(func(p *peer, f protocol.Frame) bool {
		if f.Type == protocol.TypeSend || f.Type == protocol.TypeRead {
			held = append(held, func() { s.answer(p, f) })
			return true
		}
		return false
	})
	post(t, c, User(2), "x")
	if err := c.MarkRead(User(3), 9); err != nil {
		t.Fatal(err)
	}
	flushed := make(chan error, 1)
	go func() { flushed <- c.Flush(testContext(t)) }()
	s.until("both", func() bool { return len(held) == 2 })
	for i := range 2 {
		select {
		case err := <-flushed:
			t.Fatalf("Flush returned after %d of 2 answers: %v", i, err)
		default:
		}
		s.mu.Lock()
		held[i]()
		s.mu.Unlock()
		s.settledBy(t, c, fmt.Sprint("flush ", i))
	}
	if err := <-flushed; err != nil {
		t.Error(err)
	}
	s.mu.Lock()
	held = nil
	s.mu.Unlock()
	post(t, c, User(2), "never answered")
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	if err := c.Flush(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Flush with an ended context: %v", err)
	}
	go func() { flushed <- c.Flush(testContext(t)) }()
	c.Close(ctx)
	if err := <-flushed; !errors.Is(err, ErrClosed) {
		t.Errorf("Flush beside Close: %v", err)
	}
	if err := c.Flush(testContext(t)); !errors.Is(err, ErrClosed) {
		t.Errorf("Flush of a closed client that gave a message up: %v", err)
	}
}

// settledBy is settled for a script that holds READs: it asks for history instead.
func (s *server) settledBy(t *testing.T, c *Client, what string) {
	t.Helper()
	for _, err := range c.History(testContext(t), User(1<<40), Limit(1)) {
		t.Fatalf("%s: %v", what, err)
	}
}
