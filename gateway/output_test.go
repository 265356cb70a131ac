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
	if !p.s.welcome(&hop.Welcome{User: 1, Heartbeat: 30, Frame: protocol.Welcome{User: 1}.AppendFrame(nil, 1)}, &protocol.Hello{Device: 1}) {
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

// A socket that takes nothing is left to the wheel, and tried once more at the end.
func TestBlockedSocketIsTriedByTheWheel(t *testing.T) {
	p := newParked(t)
	p.write()
	<-p.w.awake
	p.socket.full = true
	p.push(t.Context(), pushFrame(2, 1, 1, 10))
	p.asked("a push", 1, true)
	p.write()
	p.push(t.Context(), pushFrame(2, 1, 2, 10))
	p.s.reply(protocol.AppendEmpty(nil, protocol.TypePong, 1))
	if n := len(p.w.waiting); n != 0 {
		t.Errorf("%d wait for a socket that is full", n)
	}
	for range 3 {
		for _, s := range p.wheel.advance(nil) {
			p.fire(s)
		}
		if n := len(p.w.waiting); n != 1 {
			t.Fatalf("after a tick %d wait", n)
		}
		p.write()
	}
	p.socket.full = false
	before := p.socket.written
	for _, s := range p.wheel.advance(nil) {
		p.fire(s)
	}
	p.write()
	if n := p.socket.written - before; n != len(pushFrame(2, 1, 1, 10))+len(pushFrame(2, 1, 2, 10))+protocol.HeaderSize {
		t.Errorf("%d bytes were written", n)
	}
	p.socket.full = true
	p.push(t.Context(), pushFrame(2, 1, 3, 10))
	p.write()
	p.Kick(p.s.id, protocol.CodeReplaced)
	if n := len(p.w.waiting); n != 1 {
		t.Errorf("%d wait, for CLOSE to be tried", n)
	}
	p.write()
	<-p.socket.down
}
