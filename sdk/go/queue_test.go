package gannet

import (
	"context"
	"fmt"
	"testing"

	"gannet/protocol"
)

func TestMessagesLoop(t *testing.T) {
	s := newServer(t)
	c := join(t, s, 2)
	s.say(1, User(2), "1")
	s.say(1, User(2), "2")
	s.say(1, User(2), "3")
	for m := range c.Messages(testContext(t)) {
		if _, err := c.Send(testContext(t), m.Conversation, Text("re: "+m.Text())); err != nil { // the loop may wait
			t.Error(err)
		}
		if m.Text() == "2" {
			break
		}
	}
	s.until("PUSHACK of what was received", func() bool { return s.count(protocol.TypePushAck) > 0 })
	for m := range c.Messages(testContext(t)) {
		if m.Text() != "3" {
			t.Errorf("%q after the break, want 3", m.Text())
		}
		break
	}
}

func TestMessagesLoopEnds(t *testing.T) {
	s := newServer(t)
	c := join(t, s, 2)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for m := range c.Messages(ctx) {
		t.Errorf("message %v", m)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for m := range c.Messages(context.Background()) {
			t.Errorf("message %v", m)
		}
	}()
	if err := c.Close(testContext(t)); err != nil {
		t.Error(err)
	}
	<-ended
}

func TestNothingIsAckedBeforeTheLoopReceivesIt(t *testing.T) {
	s := newServer(t)
	c := join(t, s, 2)
	s.say(1, User(2), "1")
	m := s.whisper(1, User(2), "2")
	s.emit(m.AppendFrame(nil))
	s.emit(m.AppendFrame(nil)) // pushed again because it is not acked
	s.settled(t, c)
	if n := s.seen(protocol.TypePushAck); n != 0 {
		t.Fatalf("%d PUSHACKs before the loop", n)
	}
	received := 0
	for range c.Messages(testContext(t)) {
		if received++; received == 2 {
			break
		}
	}
	s.until("PUSHACK", func() bool { return s.delivered(2, pair) == 2 })
}

func TestSlowLoopLosesNothing(t *testing.T) {
	s := newServer(t)
	c := join(t, s, 2)
	const n = 3 * maxQueue
	for i := range n {
		s.say(1, User(2), fmt.Sprint(i))
		s.say(3, User(2), fmt.Sprint(i))
	}
	s.settled(t, c) // all pushes are there, most did not fit
	if have := len(c.queue.items); have > maxQueue {
		t.Fatalf("%d messages wait, more than %d", have, maxQueue)
	}
	next := map[uint64]int{}
	for m := range c.Messages(testContext(t)) {
		if want := fmt.Sprint(next[m.Sender]); m.Text() != want {
			t.Fatalf("%q from %d, want %q", m.Text(), m.Sender, want)
		}
		next[m.Sender]++
		if next[1] == n && next[3] == n {
			break
		}
	}
	if next[1] != n || next[3] != n {
		t.Errorf("received %v of %d each", next, n)
	}
	s.until("PUSHACK of all", func() bool { return s.delivered(2, pair) == n })
}

func TestSlowLoopOverAReconnect(t *testing.T) {
	s := newServer(t)
	c := join(t, s, 2)
	const n = 2 * maxQueue
	for i := range n {
		s.say(1, User(2), fmt.Sprint(i))
	}
	s.settled(t, c)
	s.cut()
	received := 0
	for m := range c.Messages(testContext(t)) {
		if m.Text() != fmt.Sprint(received) {
			t.Fatalf("%q, want %d", m.Text(), received)
		}
		if received++; received == n {
			break
		}
	}
	if received != n {
		t.Errorf("received %d of %d", received, n)
	}
}
