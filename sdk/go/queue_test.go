package gannet

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"gannet/protocol"
)

func TestMessagesLoop(t *testing.T) {
	s := newServer(t)
	c := join(t, s, 2)
	s.say(1, User(2), "1")
	s.say(1, User(2), "2")
	s.say(1, User(2), "3")
	received := 0
	for m, err := range c.Messages(testContext(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if received++; m.Text() != fmt.Sprint(received) {
			t.Fatalf("%q is message %d", m.Text(), received)
		}
		if _, err := c.Send(testContext(t), m.Conversation, Text("re: "+m.Text())); err != nil { // the loop may wait
			t.Error(err)
		}
		if received == 3 {
			break
		}
	}
	s.until("PUSHACK of what was received", func() bool { return s.delivered(2, pair) >= 2 })
}

// The message at which the body of a loop breaks off is the first of the next loop,
// and nothing says to the server that it was received.
func TestTheMessageThatBreaksALoopComesAgain(t *testing.T) {
	s := newServer(t)
	c := join(t, s, 2)
	s.say(1, User(2), "1")
	s.say(1, User(2), "2")
	s.say(1, User(2), "3")
	for _, how := range []string{"break", "panic", "return"} {
		func() {
			defer func() { recover() }()
			for m, err := range c.Messages(testContext(t)) {
				if err != nil {
					t.Fatal(err)
				}
				if m.Text() == "1" && how == "break" {
					continue
				}
				if m.Text() != "2" {
					t.Fatalf("%s: the loop got %q, want 2", how, m.Text())
				}
				if how == "panic" {
					panic("the app fails")
				}
				break
			}
		}()
	}
	s.until("PUSHACK of 1", func() bool { return s.delivered(2, pair) == 1 })
	s.settled(t, c)
	if s.mu.Lock(); s.delivered(2, pair) != 1 {
		t.Errorf("%d are acked, 1 was received", s.delivered(2, pair))
	}
	s.mu.Unlock()
	crash(c)
	// Another life of the device, which the server knows by its acks.
	again := join(t, s, 2, WithDevice(c.Device()))
	for m, err := range again.Messages(testContext(t)) {
		if err != nil || m.Text() != "2" {
			t.Errorf("the next client gets %q first, %v", m.Text(), err)
		}
		break
	}
}

// What the reader puts between a refusal and its own news of it does not pass the refused
// message.
func TestNothingPassesARefusedMessage(t *testing.T) {
	var q queue
	q.init()
	v, other := new(conversation), new(conversation)
	q.pour()
	if !q.put(v, Message{Seq: 1}) || !q.put(v, Message{Seq: 2}) || !q.put(other, Message{Seq: 9}) {
		t.Fatal("an empty queue has no room")
	}
	q.pour()
	run := q.begin(nil)
	if pause := q.refuse(run[0].conversation); pause != refusedMin {
		t.Errorf("the pause is %v", pause)
	}
	if q.put(v, Message{Seq: 3}); q.await(v, 0, t.Context()) {
		t.Error("the reader waits for room behind seq 1, which was refused")
	}
	// An ack of the device's own message says nothing of what was refused before it.
	if taken := q.reached(v, 4); taken != 0 {
		t.Errorf("everything up to %d counts as received", taken)
	}
	if run = q.begin(run); len(run) != 1 || run[0].conversation != other || len(q.items)-q.head != 1 {
		t.Errorf("next is %+v", run)
	}
	q.end()
	if seq, _ := q.unbar(v); seq != 1 || !q.put(v, Message{Seq: 1}) {
		t.Errorf("seq %d comes again", seq)
	}
}

func TestOneReceivesAtATime(t *testing.T) {
	s := newServer(t)
	c := join(t, s, 2)
	s.say(1, User(2), "1")
	refused := 0
	for _, err := range c.Messages(testContext(t)) {
		if err != nil {
			t.Fatal(err)
		}
		for m, err := range c.Messages(testContext(t)) {
			if refused++; !errors.Is(err, ErrReceiving) || m.Seq != 0 {
				t.Errorf("a second loop got %v, %v", m, err)
			}
		}
		break
	}
	for m, err := range c.Messages(testContext(t)) { // the first is over
		if err != nil || m.Text() != "1" {
			t.Errorf("got %v, %v", m, err)
		}
		break
	}
	hooked := join(t, s, 2, WithHandler(newDiary().handler()))
	for _, err := range hooked.Messages(testContext(t)) {
		if refused++; !errors.Is(err, ErrReceiving) {
			t.Errorf("beside a hook: %v", err)
		}
	}
	if refused != 2 {
		t.Errorf("%d refusals, want 2", refused)
	}
}

func TestMessagesLoopEnds(t *testing.T) {
	s := newServer(t)
	c := join(t, s, 2)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for m, err := range c.Messages(ctx) {
		t.Errorf("message %v, %v", m, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for m, err := range c.Messages(context.Background()) {
			t.Errorf("message %v, %v", m, err)
		}
	}()
	if err := c.Close(testContext(t)); err != nil {
		t.Error(err)
	}
	<-ended
}

func TestMessagesLoopTellsWhyTheClientEnded(t *testing.T) {
	s := newServer(t)
	c := join(t, s, 2)
	s.emit(protocol.Failure{Code: protocol.CodeReplaced}.AppendClose(nil))
	n := 0
	for _, err := range c.Messages(testContext(t)) {
		if n++; !errors.Is(err, CodeReplaced) {
			t.Errorf("error %v", err)
		}
	}
	if n != 1 {
		t.Errorf("the loop ends with %d errors", n)
	}
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
	receive(t, c, 2)
	s.until("PUSHACK", func() bool { return s.delivered(2, pair) == 2 })
}

// receive has a loop receive n messages.
func receive(t *testing.T, c *Client, n int) {
	t.Helper()
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	for _, err := range c.Messages(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if n--; n == 0 {
			cancel() // and the loop ends after this one
		}
	}
	if n != 0 {
		t.Fatalf("%d messages did not come", n)
	}
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
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	for m, err := range c.Messages(ctx) {
		if want := fmt.Sprint(next[m.Sender]); err != nil || m.Text() != want {
			t.Fatalf("%q from %d, want %q (%v)", m.Text(), m.Sender, want, err)
		}
		next[m.Sender]++
		if next[1] == n && next[3] == n {
			cancel()
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
	for m, err := range c.Messages(testContext(t)) {
		if err != nil || m.Text() != fmt.Sprint(received) {
			t.Fatalf("%q, want %d (%v)", m.Text(), received, err)
		}
		if received++; received == n {
			break
		}
	}
	if received != n {
		t.Errorf("received %d of %d", received, n)
	}
}

// The app may be about to tell the reader of a message that the reader has collected by then.
// That does not keep it from telling of the next one, whose PUSHACK nothing else would bring.
func TestLateWordOfWhatIsCollected(t *testing.T) {
	s := newServer(t)
	s.heartbeat = 3600
	c := join(t, s, 2, WithHandler(Handler{Message: func(context.Context, *Client, Message) error { return nil }}))
	for seq := uint64(1); seq <= 3; seq++ {
		s.say(1, User(2), fmt.Sprint(seq))
		s.until("PUSHACK", func() bool { return s.delivered(2, pair) == seq })
		c.queue.known.Store(true) // as took does after it has seen that the reader does not know
		c.poke()
		for c.poked.Load() { // the reader looks
			time.Sleep(time.Millisecond)
		}
	}
}
