package gateway

import (
	"testing"
	"time"

	"gannet/protocol"
)

// A SEND that logic has come again later holds those behind it: what waits in the lane
// and what arrives until then, in all lanes. Acks and neighbours go on.
func TestRefusedByLogicHoldsWhatFollows(t *testing.T) {
	for _, code := range []protocol.Code{protocol.CodeUnavailable, protocol.CodeBusy, protocol.CodeRateLimited, protocol.CodeStorageFull} {
		t.Run(code.String(), func(t *testing.T) {
			l := newLogic()
			ill := true
			l.answer = func(r request) []byte {
				if r.User == 1 && r.Frame.Type == protocol.TypeSend && ill {
					ill = false
					return protocol.Failure{Code: code, RetryAfter: 300, Text: []byte("why")}.AppendError(nil, r.Frame.Request)
				}
				return ackSend(r)
			}
			l.gate, l.entered = make(chan struct{}, 10), make(chan int, 10)
			st := newStage(t, l, Config{Lanes: 1})
			p, neighbour := st.login(1), st.login(2)
			p.send(sendFrame(3, 1, "is refused"))
			<-l.entered
			p.send(sendFrame(3, 2, "waits behind it"))
			p.send(protocol.Cursor{Target: direct(3), Seq: 1}.AppendRead(nil, 0))
			p.send(sendFrame(4, 4, string(make([]byte, shareBytes)))) // in the surplus
			neighbour.send(sendFrame(3, 1, "x"))
			st.eventually("all wait", func() bool { return st.waiting(0) == 4 })
			l.gate <- struct{}{}
			p.refused(1, code)
			if n := <-l.entered; n != 2 {
				t.Errorf("%d frames went on, want the READ and the neighbour's", n)
			}
			p.send(sendFrame(3, 5, "comes later"))
			l.gate <- struct{}{}
			for _, request := range []uint32{2, 4, 5} {
				p.refused(request, code)
			}
			if f := neighbour.next(); f.Type != protocol.TypeSendAck {
				t.Errorf("the neighbour was answered with %#x", f.Type)
			}
			if n := st.stat("refused.held"); n != 3 {
				t.Errorf("%d counted", n)
			}
			st.turn(300*time.Millisecond - tick)
			p.send(sendFrame(3, 6, "still too early"))
			p.refused(6, code)
			st.turn(minHeldTicks * tick)
			l.gate <- struct{}{}
			p.send(sendFrame(3, 1, "again"))
			if f := p.next(); f.Type != protocol.TypeSendAck || f.Request != 1 {
				t.Fatalf("answered %#x to %d", f.Type, f.Request)
			}
		})
	}
}

// What waits in the lane behind a refused one does not overtake it however short the
// hold was.
func TestHoldThatIsOverHoldsWhatWaited(t *testing.T) {
	l := newTable(t)
	s := l.sit(1)
	s.transport = &heldSocket{down: make(chan struct{}, 1)}
	l.put(s, 100, 3)
	b := failure(1, protocol.CodeUnavailable, tick)
	l.heed(&s.parts[0], sendFrame(2, 1, ""), b)
	for range 5 {
		l.gateway.wheel.advance(nil)
	}
	l.put(s, 100, 1) // this one came when the hold was over, and those before it still wait
	if _, frames := l.serve(); frames[1] != 0 {
		t.Errorf("%d frames were carried, and overtook those before them", frames[1])
	}
	if v, n := s.window.add(0, 0); v != 0 || n != 0 {
		t.Errorf("%d frames, %d bytes count as under way", v, n)
	}
	if n := l.gateway.counters.refusedHeld.Load(); n != 4 {
		t.Errorf("%d were refused", n)
	}
	l.gateway.wheel.advance(nil)
	l.put(s, 100, 1)
	if _, frames := l.serve(); frames[1] != 1 {
		t.Errorf("%d frames were carried after the hold of those that waited", frames[1])
	}
}

// One that comes while those before it leave the lane to be refused does not overtake
// them either; acks that follow a refused one prolong nothing.
func TestWhoComesWhileOthersAreRefused(t *testing.T) {
	l := newTable(t)
	s := l.sit(1)
	s.transport = &heldSocket{down: make(chan struct{}, 1)}
	l.put(s, 100, 3)
	l.heed(&s.parts[0], sendFrame(2, 1, ""), failure(1, protocol.CodeUnavailable, tick))
	l.gateway.wheel.advance(nil)
	f := l.next()
	l.put(s, 100, 1)
	l.sift(f)
	l.done(f)
	if n := f.batch.Len(); n != 0 {
		t.Errorf("%d of those that waited are carried", n)
	}
	l.add(s, cursorTo(2, 1).AppendRead(nil, 0))
	l.gateway.wheel.advance(nil)
	if _, frames := l.serve(); frames[1] != 1 {
		t.Errorf("%d frames were carried, want the READ alone", frames[1])
	}
	if n, void := l.gateway.counters.refusedHeld.Load(), s.parts[0].void; n != 4 || void != 0 {
		t.Errorf("%d were refused, %d are to be", n, void)
	}
}

// A hold that begins when the poller has looked for one, and before the SEND is in its
// lane, holds it.
func TestHoldThatBeginsAfterThePollerLooked(t *testing.T) {
	l := newTable(t)
	s := l.sit(1)
	s.transport = &heldSocket{down: make(chan struct{}, 1)}
	frame := sendFrame(2, 2, "B")
	f, _, _ := protocol.Split(frame, protocol.MaxFrame)
	if s.heldBack(f, frame) {
		t.Fatal("it is on hold at once")
	}
	l.heed(&s.parts[0], sendFrame(2, 1, "A"), failure(1, protocol.CodeBusy, time.Second))
	l.put(s, 100, 1)
	l.add(s, cursorTo(2, 1).AppendRead(nil, 0))
	if _, frames := l.serve(); frames[1] != 1 {
		t.Errorf("%d frames were carried, want the READ alone", frames[1])
	}
	if n := l.gateway.counters.refusedHeld.Load(); n != 1 {
		t.Errorf("%d were refused", n)
	}
}

// A SEND that will never succeed holds nothing.
func TestFinalRefusalHoldsNothing(t *testing.T) {
	l := newLogic()
	l.answer = func(r request) []byte {
		return protocol.Failure{Code: protocol.CodeBadTarget}.AppendError(nil, r.Frame.Request)
	}
	st := newStage(t, l, Config{Lanes: 1})
	p := st.login(1)
	for i := range uint64(3) {
		p.send(sendFrame(3, i+1, "x"))
		p.refused(uint32(i+1), protocol.CodeBadTarget)
	}
	if n := st.stat("refused.held"); n != 0 {
		t.Errorf("%d were held", n)
	}
}

// Of two holds the longer counts.
func TestHoldEnds(t *testing.T) {
	l := newLogic()
	l.answer = ackSend
	st := newStage(t, l, Config{Lanes: 1})
	p := st.login(1)
	s := st.sessions.get(p.conn)
	if wait := s.hold(95*time.Millisecond, protocol.CodeRateLimited, "too much"); wait != 100*time.Millisecond {
		t.Errorf("a hold of 95 ms is said to be %v", wait)
	}
	if wait := s.hold(tick, protocol.CodeBusy, "a shorter one"); wait != 100*time.Millisecond {
		t.Errorf("beside a longer hold, a shorter one is said to be %v", wait)
	}
	st.turn(2 * tick)
	p.send(sendFrame(2, 1, "x"))
	f := p.next()
	var m protocol.Failure
	if err := m.Decode(f.Payload); err != nil || m.Code != protocol.CodeRateLimited || string(m.Text) != "too much" || m.RetryAfter != 60 {
		t.Errorf("answered %#x %v %q, to be tried after %d ms; %v", f.Type, m.Code, m.Text, m.RetryAfter, err)
	}
	st.turn(3 * tick)
	p.send(sendFrame(2, 6, "x"))
	if f := p.next(); f.Type != protocol.TypeSendAck {
		t.Errorf("answered %#x", f.Type)
	}
}
