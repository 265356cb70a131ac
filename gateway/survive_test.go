package gateway

import (
	"testing"

	"gannet/protocol"
)

// heldSocket is a transport that a test holds in its hands.
type heldSocket struct {
	written int
	down    chan struct{}
	broken  bool
	full    bool // takes nothing
	sips    bool // but for a byte at a time
	awaits  int  // how often it was waited for
	resets  int
}

func (b *heldSocket) write(p []byte) (int, error) {
	if b.broken {
		panic("a bug in the transport")
	}
	if b.full && b.sips {
		b.written++
		return 1, nil
	}
	if b.full {
		return 0, nil
	}
	b.written += len(p)
	return len(p), nil
}

func (b *heldSocket) await(*session) error {
	b.awaits++
	return nil
}

func (b *heldSocket) reset() {
	b.resets++
	b.shutdown()
}

func (b *heldSocket) shutdown() {
	select {
	case b.down <- struct{}{}:
	default:
	}
}

func (b *heldSocket) remote() string { return "a test" }

// survivors checks that a bug ended one session, once, and that everybody else is
// served: whatever was locked at that moment is not any more.
func (h *hostile) survivors(ended uint64) {
	h.t.Helper()
	h.eventually("the session is gone", func() bool { return h.stat("close.internal") == ended })
	if n := h.stat("panics"); n != 1 {
		h.t.Errorf("%d panics counted", n)
	}
	h.exchange(h.victim)
	h.exchange(h.neighbour)
	h.Kick(h.victim.conn, protocol.CodeReplaced)
	if code := h.victim.closed(); code != protocol.CodeReplaced {
		h.t.Errorf("closed with %v", code)
	}
}

// The outbox of a session is broken when the writer takes from it, with the
// session's locks held.
func TestPanicOfTheWriterEndsOneSession(t *testing.T) {
	h := newHostile(t)
	ill := h.login(3)
	s := h.sessions.get(ill.conn)
	s.mu.Lock()
	s.outbox.normal = &frames{next: -1}
	s.mu.Unlock()
	h.push([]delivery{{pushFrame(1, 3, 1, 10), []uint64{ill.conn, h.neighbour.conn}}})
	if f := h.neighbour.next(); f.Type != protocol.TypePush {
		t.Fatalf("came %#x", f.Type)
	}
	if f, err := ill.read(); err == nil {
		t.Errorf("came %#x of an outbox that is broken", f.Type)
	}
	h.survivors(1)
}

func TestPanicOfATransportEndsOneSession(t *testing.T) {
	h := newHostile(t)
	b := &heldSocket{down: make(chan struct{}, 1), broken: true}
	s := h.open(b)
	s.reply(protocol.AppendEmpty(nil, protocol.TypePong, 1))
	<-b.down
	s.ended()
	h.survivors(1)
}

// What arrives for a session finds its state broken.
func TestPanicOfInputEndsOneSession(t *testing.T) {
	h := newHostile(t)
	b := &heldSocket{down: make(chan struct{}, 1)}
	s := h.open(b)
	s.partial = make([]byte, 9) // of a frame of no length
	s.input([]byte("x"))
	<-b.down
	s.input(hello(1)) // as netpoll may still bring
	s.ended()
	h.survivors(1)
}

// A bug of the lane itself costs the sessions of that batch their connection, and
// nobody else anything.
func TestPanicOfALaneEndsItsBatch(t *testing.T) {
	h := newHostile(t)
	l := h.logic
	ill := h.login(3)
	h.neighbour.send(sendFrame(3, 1, "the gate closes behind this one"))
	<-l.entered
	ill.send(sendFrame(3, 1, "x"))
	h.eventually("the batch is there", func() bool { return h.waiting(0) == 1 })
	h.lanes[0].mu.Lock()
	h.lanes[0].waiting[0].batch.Ends[0] = 1 << 30
	h.lanes[0].mu.Unlock()
	l.gate <- struct{}{}
	h.neighbour.next()
	<-l.entered
	l.gate <- struct{}{}
	if code := ill.closed(); code != protocol.CodeInternal {
		t.Errorf("closed with %v", code)
	}
	h.eventually("both panics are counted", func() bool { return h.stat("panics") == 2 }) // logic's, of the same bounds, and the lane's
	h.exchange(h.victim)
	h.exchange(h.neighbour)
	if n := h.stat("close.internal"); n != 1 {
		t.Errorf("%d connections were closed", n)
	}
}
