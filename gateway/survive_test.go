package gateway

import (
	"math"
	"sync/atomic"
	"testing"
	"time"

	"gannet/internal/hop"
	"gannet/protocol"
)

// heldSocket is a transport that a test holds in its hands.
type heldSocket struct {
	written  int
	down     chan struct{}
	broken   bool
	full     bool // takes nothing
	sips     bool // but for a byte at a time
	awaits   int  // how often it was waited for
	resets   int
	deaf     bool // cannot say when it takes bytes
	stubborn bool // has a bug in reset too
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
	if b.deaf {
		return errNoEpoll
	}
	b.awaits++
	return nil
}

func (b *heldSocket) reset() {
	if b.stubborn {
		panic("another bug in the transport")
	}
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

// The outbox of a session is broken when a push comes for it, with the session's locks
// held, in the middle of those for others.
func TestPanicOfAPushEndsOneSession(t *testing.T) {
	h := newHostile(t)
	ill := h.login(3)
	s := h.sessions.get(ill.conn)
	s.mu.Lock()
	s.outbox.normal = &frames{next: 5}
	s.mu.Unlock()
	conns := []uint64{h.victim.conn, ill.conn, h.neighbour.conn}
	if absent := h.push([]delivery{{pushFrame(4, 3, 1, 10), conns}, {pushFrame(5, 3, 2, 10), conns}}); len(absent) != 1 || absent[0] != ill.conn {
		t.Errorf("absent: %v", absent)
	}
	for _, p := range []*peer{h.victim, h.neighbour} {
		for range 2 {
			if f := p.next(); f.Type != protocol.TypePush {
				t.Fatalf("came %v", f.Type)
			}
		}
	}
	h.survivors(1)
}

// What is due for a session meets a bug, once; the wheel goes on for everybody.
func TestPanicOfTheWheelEndsOneSession(t *testing.T) {
	var bug atomic.Bool
	l := newLogic()
	l.answer = ackSend
	l.silence = 10 * time.Second
	st := newStage(t, l, Config{Lanes: 1, Now: func() time.Time {
		if bug.Swap(false) {
			panic("a bug of the clock")
		}
		return time.Now()
	}})
	h := &hostile{stage: st, victim: st.login(1), neighbour: st.login(2)}
	l.does(misdeed{login: func(login *hop.Login) (hop.Welcome, error) { // whose token ends some day
		l.loggedIn <- hop.Identity{Conn: login.Conn}
		return hop.Welcome{User: 3, Number: 1, Heartbeat: 10, Expires: math.MaxInt64, Frame: protocol.Welcome{User: 3}.AppendFrame(nil, login.Request)}, nil
	}})
	ill := st.login(3)
	bug.Store(true)
	st.turn(protocol.LoginTimeout) // in which everybody is looked at
	if f, err := ill.read(); err == nil {
		t.Errorf("came %v", f.Type)
	}
	st.eventually("the session is gone", func() bool { return st.stat("close.internal") == 1 })
	h.victim.alive()
	st.turn(16 * time.Second)
	if code := h.neighbour.closed(); code != protocol.CodeHeartbeatTimeout {
		t.Errorf("the wheel stands still: closed with %v", code)
	}
	h.victim.alive()
	if n := st.stat("panics"); n != 1 {
		t.Errorf("%d panics counted", n)
	}
}

// A transport that fails in everything costs its own session and no more.
func TestTransportThatCannotEvenBeReset(t *testing.T) {
	h := newHostile(t)
	b := &heldSocket{down: make(chan struct{}, 1), broken: true, stubborn: true}
	s := h.open(b)
	s.reply(protocol.AppendEmpty(nil, protocol.TypePong, 1))
	h.eventually("both panics are counted", func() bool { return h.stat("panics") == 2 })
	s.ended()
	h.exchange(h.victim)
	h.exchange(h.neighbour)
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

// A panic while a frame is put into a lane leaves no part of it there, and no lock.
func TestPanicWhileAFrameIsAdded(t *testing.T) {
	l := newTable(t)
	ill, well := l.sit(1), l.sit(2)
	l.put(well, 100, 1)
	f := l.waiting[0]
	ill.parts[0].session = nil
	if cause := func() (cause any) {
		defer func() { cause = recover() }()
		defer f.mend(len(f.parts))                          // as add does
		f.batch.Conns = append(f.batch.Conns, 1)            // a panic inside Add
		f.batch.Frames = append(f.batch.Frames, 1, 2, 3, 4) // amid it
		l.add(ill, sendFrame(2, 1, "x"))
		return nil
	}(); cause == nil {
		t.Fatal("no panic")
	}
	if l.frames != 1 || l.put(well, 100, 1) != 1 {
		t.Errorf("%d frames wait", l.frames)
	}
	if _, frames := l.serve(); frames[2] != 2 || len(frames) != 1 { // serve checks the batch
		t.Errorf("carried: %v", frames)
	}
}

// A lane whose own lists are broken closes who has something in it, and goes on.
func TestPanicOfALanesLists(t *testing.T) {
	h := newHostile(t)
	l := h.logic
	ill := h.login(3)
	h.neighbour.send(sendFrame(3, 1, "the gate closes behind this one"))
	<-l.entered
	ill.send(sendFrame(3, 1, "x"))
	h.eventually("it waits", func() bool { return h.waiting(0) == 1 })
	lane := h.lanes[0]
	lane.mu.Lock()
	lane.waiting = append([]*filling{nil}, lane.waiting...)
	lane.mu.Unlock()
	l.gate <- struct{}{}
	h.neighbour.next()
	if code := ill.closed(); code != protocol.CodeInternal {
		t.Errorf("closed with %v", code)
	}
	h.survivors(1)
	if n := h.waiting(0); n != 0 {
		t.Errorf("%d frames wait", n)
	}
}

// Nothing is left of what a connection had in such a lane, though it has ended: the
// acks that it leaves are carried.
func TestAcksIntoALaneThatWasEmptied(t *testing.T) {
	for _, phase := range []phase{phaseOnline, phaseClosing} {
		l := newTable(t)
		s := l.sit(1)
		l.put(s, 100, 2*shareFrames)
		l.heed(&s.parts[0], sendFrame(2, 1, ""), failure(1, protocol.CodeBusy, tick))
		l.mark()
		s.phase.Store(phase)
		l.abandon()
		if l.left() != 0 || l.next() != nil {
			t.Fatalf("%d frames wait in a lane that was emptied", l.frames)
		}
		l.add(s, cursorTo(2, 1).AppendPushAck(nil, 0))
		if _, frames := l.serve(); frames[1] != 1 {
			t.Errorf("%d acks were carried", frames[1])
		}
		if p := s.parts[0]; l.frames != 0 || l.bytes != 0 || p.frames != 0 || p.surplus != nil || p.void != 0 || p.old != 0 {
			t.Errorf("at last %d frames wait, %+v", l.frames, p)
		}
	}
}
