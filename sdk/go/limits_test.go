package gannet

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gannet/protocol"
)

// What is on its way stays within the server's window in bytes, but for a message
// that is larger than all of it.
func TestWindowInBytes(t *testing.T) {
	s := newServer(t)
	s.windowBytes = uint32(2*(sendFixed+100) + 50)
	var held []protocol.Frame
	var who *peer
	s.play(func(p *peer, f protocol.Frame) bool {
		if f.Type == protocol.TypeSend {
			held, who = append(held, f), p
		}
		return f.Type == protocol.TypeSend
	})
	alice := join(t, s, 1)
	answer := func(n int) {
		t.Helper()
		s.until(fmt.Sprint(n, " SENDs"), func() bool { return len(held) >= n })
		s.settled(t, alice)
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(held) != n {
			t.Fatalf("%d messages are on their way, %d have room", len(held), n)
		}
		for _, f := range held {
			s.answer(who, f)
		}
		held = nil
	}
	for _, size := range []int{100, 100, 100, 1000, 60, 80, 1} {
		post(t, alice, User(2), strings.Repeat("x", size))
	}
	answer(2)
	answer(1) // the next one has no room beside it
	answer(1) // which is larger than the window
	answer(3)
	s.play(nil)
	s.cut() // nothing is left of it on the next connection
	s.until("the next login", func() bool { return s.logins == 2 })
	for range 2 {
		if _, err := alice.Send(testContext(t), User(2), Text(strings.Repeat("x", 100))); err != nil {
			t.Fatal(err)
		}
	}
}

// What was refused is not on its way any more, and leaves its room to others.
func TestRefusedMessagesLeaveTheWindow(t *testing.T) {
	s := newServer(t)
	s.windowBytes = uint32(2*(sendFixed+100) + 50)
	refused, held := 0, 0
	s.play(func(p *peer, f protocol.Frame) bool {
		if f.Type != protocol.TypeSend {
			return false
		}
		if refused++; refused <= 2 {
			p.write(protocol.Failure{Code: protocol.CodeBusy, RetryAfter: 1}.AppendError(nil, f.Request))
		} else {
			held++
		}
		return true
	})
	alice := join(t, s, 1)
	for range 4 {
		post(t, alice, User(2), strings.Repeat("x", 100))
	}
	s.until("a full window", func() bool { return held == 2 })
}

// After a refusal nothing is sent until its time is over, then everything in order.
func TestRefusedMessagesHoldLaterOnes(t *testing.T) {
	const wait = 400 * time.Millisecond
	s := newServer(t)
	var refused, again time.Time
	s.play(func(p *peer, f protocol.Frame) bool {
		switch {
		case f.Type != protocol.TypeSend:
			return false
		case refused.IsZero():
			refused = time.Now()
			p.write(protocol.Failure{Code: protocol.CodeRateLimited, RetryAfter: uint32(wait / time.Millisecond), Text: []byte("messages per second")}.
				AppendError(nil, f.Request))
			return true
		case again.IsZero():
			again = time.Now()
		}
		return false
	})
	told := make(chan Event, 10)
	alice := join(t, s, 1, WithHandler(Handler{Event: func(_ context.Context, _ *Client, e Event) {
		if e.Kind == EventHeld {
			told <- e
		}
	}}))
	sent := []*Sending{post(t, alice, User(2), "x")}
	event := <-told
	var why *Error
	if !errors.As(event.Err, &why) || event.Wait < wait || why.Code != CodeRateLimited || why.RetryAfter != wait || why.Text != "messages per second" {
		t.Fatalf("told %+v", why)
	}
	for range 5 {
		sent = append(sent, post(t, alice, User(2), "x"))
	}
	var last Ack
	for i := range sent {
		a, err := sent[i].Wait(testContext(t))
		if err != nil || a.Seq != uint64(i+1) || a.ID <= last.ID || a.ID != sent[i].ID() {
			t.Fatalf("ack %d is %+v after %+v", i, a, last)
		}
		last = a
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if passed := again.Sub(refused); passed < wait {
		t.Fatalf("a message came %v after one was refused for %v", passed, wait)
	}
	if n := s.count(protocol.TypeSend); n != 7 || len(told) != 0 {
		t.Fatalf("%d SENDs and %d further refusals", n, len(told))
	}
}

// While the server limits HISTORY it is asked for nothing more than is under way.
func TestLimitedHistoryHoldsLaterOnes(t *testing.T) {
	const conversations, wait = 30, 300 * time.Millisecond
	s := newServer(t)
	for user := uint64(10); user < 10+conversations; user++ {
		s.whisper(user, User(1), "hello")
	}
	var refused time.Time
	early := 0
	s.play(func(p *peer, f protocol.Frame) bool {
		if f.Type != protocol.TypeHistory {
			return false
		}
		if refused.IsZero() {
			refused = time.Now()
		}
		left := wait - time.Since(refused)
		if left <= 0 {
			return false
		}
		early++
		p.write(protocol.Failure{Code: protocol.CodeRateLimited, RetryAfter: uint32(left/time.Millisecond) + 1}.AppendError(nil, f.Request))
		return true
	})
	d := newDiary()
	join(t, s, 1, WithDevice(7), WithHandler(d.handler()))
	s.until("everything is received", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.messages) == conversations
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if early == 0 || early > maxFetches {
		t.Fatalf("HISTORY came %d times before it was allowed again; %d are under way at once", early, maxFetches)
	}
}

// Of many conversations a part is acked at a time, and all of them at the end.
func TestAcksGoInParts(t *testing.T) {
	c := new(Client)
	for i := range 3*maxAcks/2 + 1 {
		c.mark(&conversation{target: User(uint64(i + 1)), received: uint64(i + 1)}, true)
	}
	next := uint64(1)
	for _, all := range []bool{false, true} {
		c.wire.pending = nil
		c.ack(all)
		n := 0
		for b := c.wire.pending; len(b) > 0; n++ {
			f, size, _ := protocol.Split(b, protocol.MaxFrame)
			if ack := decode[protocol.Cursor](t, f.Payload); f.Type != protocol.TypePushAck || targetOf(ack.Target) != User(next) || ack.Seq != next {
				t.Fatalf("ack %d is %#x of %+v", next, f.Type, ack)
			}
			next++
			b = b[size:]
		}
		if !all && n != maxAcks || all && n != maxAcks/2+1 || len(c.inbox.unacked) != 3*maxAcks/2+1-int(next-1) {
			t.Fatalf("%d are acked at once (all: %v), %d are left", n, all, len(c.inbox.unacked))
		}
	}
	for i := range 2 * maxAcks {
		c.mark(&conversation{target: User(uint64(i + 1)), received: 1}, true)
	}
	c.wire.pending = nil
	c.ack(true)
	if n := len(c.wire.pending) / len(protocol.Cursor{}.AppendPushAck(nil, 0)); n != 2*maxAcks {
		t.Fatalf("%d of %d are acked at the end", n, 2*maxAcks)
	}
}
