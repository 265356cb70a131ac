package gateway

import (
	"gannet/internal/hop"
	"gannet/protocol"
)

// meetForward has one batch of four frames of the victim end in the misdeed.
func meetForward(h *hostile, m *misdoing) {
	h.t.Helper()
	h.turn(busyRetry + tick) // nobody is on hold any more
	l := h.logic
	h.neighbour.send(sendFrame(3, 50, "the gate closes behind this one"))
	<-l.entered
	var frames []byte
	for id := range uint64(2) {
		frames = append(frames, sendFrame(3, id+1, "x")...)
	}
	frames = protocol.Cursor{Target: direct(3), Seq: 1}.AppendPushAck(frames, 0)
	frames = protocol.Cursor{Target: direct(3), Seq: 1}.AppendRead(frames, 3)
	h.victim.send(frames)
	h.eventually("the batch is whole", func() bool { return h.waiting(0) == 4 })
	l.gate <- struct{}{}
	if f := h.neighbour.next(); f.Type != protocol.TypeSendAck || f.Request != 50 {
		h.t.Fatalf("the batch before: answered %#x to %d", f.Type, f.Request)
	}
	<-l.entered
	l.does(m.misdeed)
	l.gate <- struct{}{}

	heard := map[uint32]protocol.Code{}
	answers := len(m.answers)
	if m.counted["panics"] > 0 { // the PUSHACK may be what logic panicked over: it is not tried again
		answers++
	}
	for range answers {
		f := h.victim.next()
		var failure protocol.Failure
		if f.Type == protocol.TypeError && failure.Decode(f.Payload) != nil {
			h.t.Fatalf("an ERROR that cannot be read: %x", f.Payload)
		}
		if _, twice := heard[f.Request]; twice {
			h.t.Fatalf("two answers to %d", f.Request)
		}
		if failure.Code == protocol.CodeUnavailable && failure.RetryAfter == 0 {
			h.t.Errorf("request %d is not told when to try again", f.Request)
		}
		heard[f.Request] = failure.Code
	}
	if code, ok := heard[0]; ok != (answers > len(m.answers)) || ok && code != protocol.CodeUnavailable {
		h.t.Errorf("of the PUSHACK it heard %v (%v)", code, ok)
	}
	for i, want := range m.answers {
		if got, ok := heard[uint32(i+1)]; !ok || got != want {
			h.t.Errorf("request %d heard %v (%v), want %v", i+1, got, ok, want)
		}
	}
	h.victim.nothing()
}

// waiting gives how many frames wait in a lane.
func (st *stage) waiting(lane int) int {
	l := st.lanes[lane]
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.frames
}

// nothing says that nothing came since the last frame that was read, and that the
// connection is served.
func (p *peer) nothing() {
	p.t.Helper()
	p.send(protocol.AppendEmpty(nil, protocol.TypePing, 78))
	if f := p.next(); f.Type != protocol.TypePong || f.Request != 78 {
		p.t.Fatalf("before the PONG came %#x to %d", f.Type, f.Request)
	}
}

func meetQuery(h *hostile, m *misdoing) {
	h.t.Helper()
	h.logic.does(m.misdeed)
	h.victim.send(protocol.Sync{}.AppendFrame(nil, 6))
	h.victim.refused(6, protocol.CodeUnavailable)
	h.victim.nothing()
}

// meetLogin has somebody else log in.
func meetLogin(h *hostile, m *misdoing) {
	h.t.Helper()
	h.logic.does(m.misdeed)
	before := len(h.logic.over())
	p := h.dial()
	p.send(hello(7))
	if m.closed != 0 {
		if code := p.closed(); code != m.closed {
			h.t.Errorf("closed with %v, want %v", code, m.closed)
		}
	} else {
		if f := p.next(); f.Type != protocol.TypeWelcome {
			h.t.Fatalf("answered %#x", f.Type)
		}
		h.turn(protocol.MinHeartbeat + protocol.MinHeartbeat/2) // whatever the interval, this is within two
		p.nothing()
		h.victim.nothing()
		h.neighbour.nothing()
		for _, s := range h.sessions.all() {
			if s.user == 7 && (s.silence <= 2*int64(protocol.MinHeartbeat/tick) || s.silence > 2*int64(protocol.MaxHeartbeat/tick)+1) {
				h.t.Errorf("a silence of %d ticks is allowed", s.silence)
			}
		}
		p.Close()
	}
	h.eventually("it is gone", func() bool { return h.stat("connections") == 2 })
	if m.undone {
		h.eventually("logic is told", func() bool {
			over := h.logic.over()
			return len(over) == before+1 && over[before].User == 7 && over[before].Device == 7
		})
	}
}

// meetLogout has somebody else leave.
func meetLogout(h *hostile, m *misdoing) {
	h.t.Helper()
	p := h.login(7)
	h.logic.does(m.misdeed)
	dropped := h.stat("logic.logouts")
	p.Close()
	h.eventually("logic was asked in vain", func() bool { return h.stat("logic.logouts") == dropped+1 })
}

// meetRedeliver has the victim not ack a push, and lets it ack in the end.
func meetRedeliver(h *hostile, m *misdoing) {
	h.t.Helper()
	h.logic.does(m.misdeed)
	h.push([]delivery{{Frame: pushFrame(4, 1, 1, 10), Conns: []uint64{h.victim.conn}}})
	if f := h.victim.next(); f.Type != protocol.TypePush {
		h.t.Fatalf("of a push came %#x", f.Type)
	}
	asked := h.logic.redeliveries()
	done := h.stat("logic.failed") + h.stat("logic.unanswered")
	h.turn(protocol.PushAckTimeout + tick)
	h.eventually("logic has done it", func() bool {
		return h.logic.redeliveries() == asked+1 && h.stat("logic.failed")+h.stat("logic.unanswered") == done+1
	})
	h.victim.nothing()
	h.neighbour.nothing()

	h.logic.does(misdeed{redeliver: func(r *hop.Redelivery) ([]byte, error) { return pushFrame(4, 1, 1, 10), nil }})
	h.turn(protocol.PushAckTimeout + tick)
	if f := h.victim.next(); f.Type != protocol.TypePush {
		h.t.Fatalf("of the range came %#x", f.Type)
	}
	h.victim.send(protocol.Cursor{Target: direct(4), Seq: 1}.AppendPushAck(nil, 0))
	<-h.logic.entered
	h.logic.gate <- struct{}{}
	h.victim.nothing()
}
