package gateway

import (
	"time"

	"gannet/internal/limiter"
	"gannet/protocol"
)

// pace is how many frames a connection may send: a bucket of tokens, kept as the time
// at which it is full again. Time is that of the wheel, in nanoseconds.
type pace struct {
	each int64 // in which a frame is allowed; 0: no limit
	full int64 // in which an empty bucket fills
}

func newPace(r limiter.Rate) (p pace) {
	if r.Off() {
		return p
	}
	p.each = max(1, int64(float64(time.Second)/r.PerSecond))
	p.full = p.each * int64(r.Burst)
	return p
}

// perTurn says how many frames are allowed in a turn, and how many ticks that is.
func (p pace) perTurn() (frames int, ticks int64) {
	if p.each == 0 {
		return maxWaitingAcks, 1
	}
	return max(1, int(int64(tick)/p.each)), max(1, (p.each+int64(tick)-1)/int64(tick))
}

// mayPass takes the tokens of a frame, as many as fit into the bucket at most; if they
// are not there it gives the time until they are.
func (s *session) mayPass(tokens int) (wait time.Duration) {
	p := &s.gateway.pace
	if p.each == 0 {
		return 0
	}
	for {
		now, was := s.gateway.wheel.now()*int64(tick), s.filled.Load()
		filled := max(was, now) + min(int64(tokens)*p.each, p.full)
		if over := filled - now - p.full; over > 0 {
			return time.Duration(over)
		}
		if s.filled.CompareAndSwap(was, filled) {
			return 0
		}
	}
}

// passesLate takes the token of a frame that waited, whether it is there or not.
func (s *session) passesLate(now int64) {
	for {
		was := s.filled.Load()
		if s.filled.CompareAndSwap(was, max(was, now*int64(tick))+s.gateway.pace.each) {
			return
		}
	}
}

// overPace deals with a frame for which there is no token. An ack waits for one: it
// says what its client has done, which refusing does not undo.
func (s *session) overPace(f protocol.Frame, raw []byte, wait time.Duration) {
	c := &s.gateway.counters
	if f.Type == protocol.TypePushAck || f.Type == protocol.TypeRead {
		var cursor protocol.Cursor
		if cursor.Decode(f.Payload) == nil {
			s.delay(waitingAck{f.Type, f.Request, cursor}, raw)
			return
		}
	}
	c.refusedFrameRate.Add(1)
	if f.Type == protocol.TypeSend {
		if !s.heldBack(f, raw) {
			s.refuseSend(f, raw, limitedFrames, wait)
		}
		return
	}
	s.refuse(f, raw, protocol.CodeRateLimited, limitedFrames, wait)
}

// waitingAck is a PUSHACK or READ that waits for a token.
type waitingAck struct {
	kind    protocol.Type
	request uint32
	protocol.Cursor
}

// frame encodes it.
func (a *waitingAck) frame() []byte {
	if a.kind == protocol.TypeRead {
		return a.AppendRead(nil, a.request)
	}
	return a.AppendPushAck(nil, a.request)
}

// delay has an ack wait. One with request 0 joins the one of its conversation that
// waits already: of the two the higher seq says everything. The others stay apart,
// since each is answered. When too many wait the oldest does not any longer.
func (s *session) delay(a waitingAck, raw []byte) {
	g := s.gateway
	if a.kind == protocol.TypePushAck {
		s.acked(a.Target, a.Seq)
	}
	merged, first, oldest := s.join(a)
	switch {
	case merged:
		g.counters.acksMerged.Add(1)
	case first:
		g.wheel.schedule(s, g.wheel.now()+1)
	case oldest.kind != 0:
		g.counters.acksForced.Add(1)
		b := oldest.frame()
		f, _, _ := protocol.Split(b, protocol.MaxFrame)
		s.forward(f, b)
		s.defy(raw)
	}
}

// join adds an ack to those that wait; oldest is the one that had to make room.
func (s *session) join(a waitingAck) (merged, first bool, oldest waitingAck) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.request == 0 {
		for i := range s.waiting {
			if w := &s.waiting[i]; w.request == 0 && w.kind == a.kind && w.Target == a.Target {
				w.Seq = max(w.Seq, a.Seq)
				return true, false, oldest
			}
		}
	}
	if len(s.waiting) == maxWaitingAcks {
		oldest = s.waiting[0]
		s.waiting = append(s.waiting[:0], s.waiting[1:]...)
	}
	s.waiting = append(s.waiting, a)
	return false, len(s.waiting) == 1, oldest
}

// carryWaiting hands the acks that waited to their lanes, as many as a turn allows,
// and says when to come again; 0: none is left.
func (s *session) carryWaiting(now int64) (next int64) {
	frames, ticks := s.gateway.pace.perTurn()
	for range frames {
		a, ok := s.nextWaiting()
		if !ok {
			return 0
		}
		if !s.carry(a.Target, a.frame()) { // the lane has no room
			s.waitOn(a)
			break
		}
		s.passesLate(now)
	}
	return now + ticks
}

func (s *session) nextWaiting() (a waitingAck, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		return a, false
	}
	a = s.waiting[0]
	if s.waiting = s.waiting[1:]; len(s.waiting) == 0 {
		s.waiting = nil
	}
	return a, true
}

// waitOn has an ack wait that waited before.
func (s *session) waitOn(a waitingAck) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, a)
}

// carryAll hands what waits to its lanes, because the connection is over: whoever
// acks and leaves has acked.
func (s *session) carryAll() {
	for {
		a, ok := s.nextWaiting()
		if !ok {
			return
		}
		if !s.carry(a.Target, a.frame()) {
			s.gateway.counters.acksLost.Add(1)
		}
	}
}
