package gateway

import (
	"context"
	"testing"

	"gannet/internal/hop"
	"gannet/protocol"
)

// parked is a session that is logged in, and the writer of its gateway, which writes
// only when the test has it write.
type parked struct {
	*Gateway
	t      *testing.T
	s      *session
	w      *writer
	socket *heldSocket
}

func newParked(t *testing.T) *parked {
	g := build(Config{Logic: newLogic(), Lanes: 1, Writers: 1})
	p := &parked{Gateway: g, t: t, socket: &heldSocket{down: make(chan struct{}, 1)}}
	g.writers = newWriters(1) // nobody runs this one
	p.w = g.writers[0]
	p.s = g.open(p.socket)
	if !p.s.welcome(&hop.Welcome{User: 1, Heartbeat: 30, Frame: protocol.Welcome{User: 1}.AppendFrame(nil, 1)}, &hop.Login{Hello: protocol.Hello{Device: 1}}) {
		t.Fatal("not welcome")
	}
	t.Cleanup(func() {
		p.s.ended()
		if err := g.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

// asked checks how many sessions wait for the writer and whether it was woken, and
// takes the token.
func (p *parked) asked(what string, waiting int, woken bool) {
	p.t.Helper()
	got := len(p.w.awake) == 1
	if got {
		<-p.w.awake
	}
	if n := len(p.w.waiting); n != waiting || got != woken {
		p.t.Errorf("%s: %d wait, woken %v; want %d, %v", what, n, got, waiting, woken)
	}
}

// write writes to all that wait, in one write each.
func (p *parked) write() {
	for _, s := range p.w.take(nil) {
		s.flush(make([]byte, 0, scratchBytes))
	}
}

func (p *parked) push(ctx context.Context, frame []byte) {
	p.Push(ctx, pushOf([]delivery{{frame, []uint64{p.s.id}}}))
}

// There is one way to the writer: a session is on its list once, however much waits
// for it, and the writer is woken at once, but at the end of a batch for what belongs
// to it.
func TestWhoWakesTheWriter(t *testing.T) {
	p := newParked(t)
	p.asked("WELCOME", 1, true)
	p.write()

	elsewhere, batch := t.Context(), p.lanes[0].ctx
	p.push(elsewhere, pushFrame(2, 1, 1, 10))
	p.asked("a push", 1, true)
	p.push(elsewhere, pushFrame(2, 1, 2, 10))
	p.s.reply(protocol.AppendEmpty(nil, protocol.TypePong, 1))
	p.asked("a push and an answer behind it", 1, true)
	writes := p.counters.writes.Load()
	p.write()
	if n := p.counters.writes.Load() - writes; n != 1 {
		t.Errorf("%d writes", n)
	}

	p.lanes[0].carrying.Store(true)
	p.push(batch, pushFrame(2, 1, 3, 10))
	p.asked("a push of a batch", 1, false)
	p.s.reply(protocol.AppendEmpty(nil, protocol.TypePong, 1))
	p.asked("an answer beside a batch", 1, true)
	p.write()
	p.push(batch, pushFrame(2, 1, 4, 10))
	p.lanes[0].put(p.s, protocol.AppendEmpty(nil, protocol.TypeDone, 1))
	p.asked("a push and an answer of a batch", 1, false)
	p.lanes[0].end(&filling{})
	p.asked("the end of the batch", 1, true)
	p.write()
	p.push(batch, pushFrame(2, 1, 5, 10))
	p.asked("a push after the batch", 1, true)
	p.write()
}

func TestReceiptsAskForNoWrite(t *testing.T) {
	p := newParked(t)
	p.write()
	p.push(t.Context(), receiptFrame(2, 1))
	if n := len(p.w.waiting); n != 0 {
		t.Errorf("%d wait", n)
	}
	p.push(t.Context(), pushFrame(2, 1, 1, 10))
	written := p.socket.written
	p.write()
	if n := p.socket.written - written; n != len(receiptFrame(2, 1))+len(pushFrame(2, 1, 1, 10)) {
		t.Errorf("%d bytes in one write", n)
	}
	p.push(t.Context(), receiptFrame(2, 2))
	for range receiptTicks {
		for _, s := range p.wheel.advance(nil) {
			p.fire(s)
		}
	}
	<-p.w.awake
	p.asked("a receipt that has waited", 1, false)
}

// turn moves the clock on.
func (p *parked) turn(ticks int64) {
	for range ticks {
		for _, s := range p.wheel.advance(nil) {
			p.fire(s)
		}
	}
}

// waiting checks how many sessions wait for the writer.
func (p *parked) waiting(what string, want int) {
	p.t.Helper()
	if n := len(p.w.waiting); n != want {
		p.t.Fatalf("%s: %d wait, want %d", what, n, want)
	}
}

// A socket that takes nothing is left alone until it says that it takes bytes again.
// It is asked unasked once its outbox must let go of what it shares, and now and then
// from then on.
func TestBlockedSocketIsLeftAlone(t *testing.T) {
	p := newParked(t)
	p.write()
	p.socket.full = true
	p.push(t.Context(), pushFrame(2, 1, 1, 10))
	p.waiting("a push", 1)
	p.write()
	p.push(t.Context(), pushFrame(2, 1, 2, 10))
	p.push(t.Context(), receiptFrame(2, 1))
	p.s.reply(protocol.AppendEmpty(nil, protocol.TypePong, 1))
	p.turn(graceTicks - 1)
	p.waiting("a socket that is full", 0)
	if p.socket.awaits != 1 {
		t.Errorf("waited for %d times, want once", p.socket.awaits)
	}
	p.turn(1)
	p.waiting("after the grace", 1)
	p.write()
	p.turn(probeTicks - 1)
	p.waiting("until the next look", 0)
	p.turn(1)
	p.waiting("at the next look", 1)
	writes := p.counters.writes.Load()
	p.write()
	if n := p.counters.writes.Load() - writes; n != 1 {
		t.Errorf("%d writes", n)
	}

	p.socket.full = false
	before := p.socket.written
	p.wake(p.s.id)
	p.waiting("a socket that takes bytes", 1)
	p.wake(p.s.id)
	p.waiting("said twice", 1)
	p.write()
	if n := p.socket.written - before; n != 2*len(pushFrame(2, 1, 1, 10))+len(receiptFrame(2, 1))+protocol.HeaderSize {
		t.Errorf("%d bytes were written", n)
	}
	p.wake(p.s.id)
	p.waiting("said when nothing waits", 0)
	if n, bytes := p.memory.blocked.Load(), p.memory.used.Load(); n != 0 || bytes != 0 {
		t.Errorf("%d sockets and %d bytes in the books of a gateway in which nothing is blocked", n, bytes)
	}
}

// Where nobody can say when a socket takes bytes, it is tried each tick.
func TestBlockedSocketThatCannotBeWaitedFor(t *testing.T) {
	p := newParked(t)
	p.write()
	p.socket.full, p.socket.deaf = true, true
	p.push(t.Context(), pushFrame(2, 1, 1, 10))
	p.write()
	for range 20 {
		p.turn(1)
		p.waiting("after a tick", 1)
		p.write()
	}
	p.socket.full = false
	before := p.socket.written
	p.turn(1)
	p.write()
	if n := p.socket.written - before; n != len(pushFrame(2, 1, 1, 10)) {
		t.Errorf("%d bytes were written", n)
	}
}

// CLOSE behind a socket that takes nothing is tried once, and then the connection is
// reset.
func TestCloseOfABlockedSocket(t *testing.T) {
	p := newParked(t)
	p.write()
	p.socket.full = true
	p.push(t.Context(), pushFrame(2, 1, 3, 10))
	p.write()
	p.Kick(p.s.id, protocol.CodeReplaced)
	p.waiting("for CLOSE to be tried", 1)
	p.write()
	p.turn(goodbyeTicks - 1)
	if len(p.socket.down) != 0 {
		t.Fatal("ended too early")
	}
	p.turn(1)
	<-p.socket.down
	if p.socket.resets != 1 || p.counters.resets.Load() != 1 {
		t.Errorf("reset %d times, %d counted", p.socket.resets, p.counters.resets.Load())
	}
	p.wake(p.s.id)
	p.socket.full = false
	before := p.socket.written
	p.write()
	if p.socket.written != before {
		t.Error("something was written to a connection that was reset")
	}
}

// A reader so slow that its socket never says that it takes bytes is not closed as long
// as it takes some; one that takes none is.
func TestSlowReaderIsNoneThatStopped(t *testing.T) {
	p := newParked(t)
	p.write()
	p.socket.full, p.socket.sips = true, true
	p.push(t.Context(), pushFrame(2, 1, 1, 100))
	p.write()
	for range 4 * writeTicks {
		p.turn(1)
		p.s.heard.Store(p.wheel.now())
		p.write()
	}
	if phase := p.s.phase.Load(); phase != phaseOnline {
		t.Fatal("a reader that takes a byte at a time was closed")
	}
	p.socket.sips = false
	for p.s.phase.Load() == phaseOnline && p.wheel.now() < 6*writeTicks {
		p.turn(1)
		p.s.heard.Store(p.wheel.now())
		p.write()
	}
	if now := p.wheel.now(); now < 5*writeTicks-probeTicks || now > 5*writeTicks+probeTicks || p.s.reason != protocol.CodeWriteTimeout {
		t.Errorf("closed %v at tick %d, want write_timeout at about %d", p.s.reason, now, 5*writeTicks)
	}
}
