package gateway

import (
	"time"

	"gannet/internal/limiter"
	"gannet/protocol"
)

// pace limits how many frames a connection may send. It is a token bucket, stored as the time at
// which the bucket will be full again, in nanoseconds of the wheel's clock.
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

// mayPass takes the tokens of a frame, but no more than the bucket holds. If there are too few,
// it takes none and gives the time until there are enough.
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

// passesLate takes the tokens of a frame that waited, whether they are there or not.
func (s *session) passesLate(now int64, tokens int) {
	for tokens > 0 {
		was := s.filled.Load()
		if s.filled.CompareAndSwap(was, max(was, now*int64(tick))+int64(tokens)*s.gateway.pace.each) {
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
			s.delay(waitingAck{kind: f.Type, request: f.Request, Cursor: cursor, tokens: inFrames(raw)}, raw)
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
