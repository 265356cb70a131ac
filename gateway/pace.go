package gateway

import (
	"sync"
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

// waitingAcks are the acks of a connection that wait for tokens, oldest first. The lock
// is their own: whoever sends acks without end must not hold up answers to the same
// connection, which the lane puts into its outbox.
type waitingAcks struct {
	mu    sync.Mutex
	list  []*waitingAck
	joins map[ackKey]*waitingAck // those that others may join; nil: none
}

// ackKey is what acks must share to be one.
type ackKey struct {
	kind   protocol.Type
	target protocol.Target
}

// delay has an ack wait. One with request 0 joins the one of its conversation that
// waits already: of the two the higher seq says everything. The others stay apart,
// since each is answered. When too many wait the oldest does not any longer. Either way
// its client goes on over its limits.
func (s *session) delay(a waitingAck, raw []byte) {
	g := s.gateway
	merged, first, oldest := s.waiting.add(a)
	switch {
	case merged:
		g.counters.acksMerged.Add(1)
		s.defy(raw)
	case first:
		g.wheel.schedule(s, g.wheel.now()+1)
	case oldest != nil:
		g.counters.acksForced.Add(1)
		b := oldest.frame()
		f, _, _ := protocol.Split(b, protocol.MaxFrame)
		s.forward(f, b)
		s.defy(raw)
	}
}

// add adds an ack; oldest is the one that had to make room.
func (w *waitingAcks) add(a waitingAck) (merged, first bool, oldest *waitingAck) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := ackKey{a.kind, a.Target}
	if a.request == 0 {
		if other := w.joins[key]; other != nil {
			other.Seq = max(other.Seq, a.Seq)
			return true, false, nil
		}
	}
	if len(w.list) == maxWaitingAcks {
		oldest = w.first()
	}
	w.list = append(w.list, &a)
	if a.request == 0 {
		if w.joins == nil {
			w.joins = make(map[ackKey]*waitingAck)
		}
		w.joins[key] = &a
	}
	return false, len(w.list) == 1, oldest
}

// first takes the oldest out; mu is held.
func (w *waitingAcks) first() *waitingAck {
	a := w.list[0]
	if w.list = w.list[1:]; len(w.list) == 0 {
		w.list, w.joins = nil, nil
	} else if key := (ackKey{a.kind, a.Target}); w.joins[key] == a {
		delete(w.joins, key)
	}
	return a
}

// next takes the oldest out; nil: none waits.
func (w *waitingAcks) next() *waitingAck {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.list) == 0 {
		return nil
	}
	return w.first()
}

// back has an ack wait that waited before.
func (w *waitingAcks) back(a *waitingAck) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, a)
}

// carryWaiting hands the acks that waited to their lanes, as many as a turn allows,
// and says when to come again; 0: none is left.
func (s *session) carryWaiting(now int64) (next int64) {
	frames, ticks := s.gateway.pace.perTurn()
	for range frames {
		a := s.waiting.next()
		if a == nil {
			return 0
		}
		if !s.carryAck(a) { // the lane has no room
			s.waiting.back(a)
			break
		}
		s.passesLate(now)
	}
	return now + ticks
}

// carryAck hands an ack that waited to its lane.
func (s *session) carryAck(a *waitingAck) bool {
	if !s.carry(a.Target, a.frame()) {
		return false
	}
	if a.kind == protocol.TypePushAck {
		s.acked(a.Target, a.Seq)
	}
	return true
}

// carryAll hands what waits to its lanes, because the connection is over: whoever
// acks and leaves has acked.
func (s *session) carryAll() {
	for a := s.waiting.next(); a != nil; a = s.waiting.next() {
		if !s.carryAck(a) {
			s.gateway.counters.acksLost.Add(1)
		}
	}
}
