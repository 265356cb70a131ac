package gateway

import (
	"testing"

	"gannet/protocol"
)

// begin sends the first part of a SEND of the largest body, and gives the rest.
func (p *peer) begin(id uint64, size int) (rest []byte) {
	frame := sendFrame(9, id, string(make([]byte, protocol.MaxBody)))
	p.send(frame[:size])
	return frame[size:]
}

// Clients that begin frames and stop hold no more than the budget in all. Those who began
// first are closed, with a reason and a time; who goes on sending, later or slowly, feels
// nothing.
func TestFramesThatAreNeverFinished(t *testing.T) {
	const n, size, budget = 20, 40_000, 300 << 10
	l := newLogic()
	l.answer = ackSend
	st := newStage(t, l, Config{BegunMemory: budget})
	neighbour := st.login(1)
	var idle []*peer
	for i := range uint64(n) {
		p := st.login(2 + i)
		before := st.stat("bytes_in")
		p.begin(1, size)
		st.eventually("its beginning is read", func() bool { return st.stat("bytes_in")-before >= size })
		idle = append(idle, p)
		st.turn(tick)
	}
	slow := st.login(100)
	rest := slow.begin(7, size)
	st.eventually("its beginning is counted", func() bool { return st.sessions.get(slow.conn).begunBytes.Load() >= size })
	for range 2 { // the second token finds room only when the sweep of what was charged is over
		st.begun.awake <- struct{}{}
	}
	st.eventually("room is made", func() bool { return st.stat("begun_bytes") <= budget })
	gone := st.stat("drop.begun")
	if least := uint64(n*size-budget) / (size + size/3); gone < least || gone >= n {
		t.Fatalf("%d were closed, want %d and not all", gone, least)
	}
	for _, p := range idle[:gone] {
		if code, wait := p.turnedAway(); code != protocol.CodeBusy || wait == 0 {
			t.Fatalf("closed with %v, to come again after %v", code, wait)
		}
	}
	st.eventually("all that were given up are counted as closed", func() bool { return st.stat("close.busy") == gone })
	slow.send(rest)
	slow.answered(7, protocol.TypeSendAck)
	neighbour.send(sendFrame(9, 8, "hello"))
	neighbour.answered(8, protocol.TypeSendAck)
	for _, p := range idle[gone:] { // they are not too late yet
		p.send(sendFrame(9, 1, string(make([]byte, protocol.MaxBody)))[size:])
		p.answered(1, protocol.TypeSendAck)
	}
	st.eventually("nothing is said to be held when all frames are whole", func() bool { return st.stat("begun_bytes") == 0 })
}

// The books of begun frames balance however the bytes of frames come, and when their
// connection ends.
func TestBooksOfBegunFrames(t *testing.T) {
	l := newLogic()
	l.answer = ackSend
	st := newStage(t, l, Config{})
	socket := &heldSocket{down: make(chan struct{}, 1)}
	s := st.open(socket)
	frame := hello(3)
	held := func(most int) {
		t.Helper()
		if n := int(st.stat("begun_bytes")); n != cap(s.partial) || n < len(s.partial) || n > most {
			t.Fatalf("%d bytes are said to be held, %d are, want at most %d", n, cap(s.partial), most)
		}
	}
	for i := range frame {
		s.input(frame[i : i+1])
		held(2 * len(frame))
	}
	if st.stat("begun_bytes") != 0 {
		t.Error("a frame that is whole is held")
	}
	st.eventually("it is logged in", func() bool { return s.phase.Load() == phaseOnline })
	long := sendFrame(9, 1, string(make([]byte, protocol.MaxBody)))
	three := append(append(append([]byte(nil), long...), long...), long...)
	for at := 0; at < len(three); at += 50_000 {
		s.input(three[at:min(at+50_000, len(three))])
		held(2 * len(long))
	}
	s.input(long[:1000])
	held(2000)
	if st.stat("begun_bytes") == 0 {
		t.Error("a frame that was begun is not held")
	}
	s.ended()
	if n := st.stat("begun_bytes"); n != 0 {
		t.Errorf("%d bytes are said to be held for a connection that is gone", n)
	}
}

// A frame counts from its own beginning, not from that of the one before it.
func TestFrameBegunAfterAnother(t *testing.T) {
	l := newLogic()
	l.answer = ackSend
	st := newStage(t, l, Config{})
	p := st.login(1)
	rest := p.begin(1, 1000)
	st.eventually("it has begun", func() bool { return st.stat("begun_bytes") > 0 })
	st.turn(5 * tick)
	p.send(append(rest, sendFrame(9, 2, "another")[:20]...))
	p.answered(1, protocol.TypeSendAck)
	st.eventually("the next has begun", func() bool { return st.sessions.get(p.conn).begunAt.Load() == 5 })
}
