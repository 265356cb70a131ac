package gateway

import (
	"math/rand/v2"
	"time"

	"gannet/internal/limiter"
	"gannet/protocol"
)

// limited says what a limit counts, for the person who reads an ERROR.
var limited = [limiter.Kinds]string{
	limiter.Sends:     "over the limit of messages per second of this user",
	limiter.SendBytes: "over the limit of bytes of messages per second of this user",
	limiter.Syncs:     "over the limit of SYNC per second of this user",
	limiter.Histories: "over the limit of HISTORY per second of this user",
}

const limitedFrames = "over the limit of frames per second of this connection"

// sendFixed is the payload of a SEND without its body.
const sendFixed = 9 + 8 + 1 + 4

// maySend says whether a SEND is within the limits of its user; one that is not has
// been answered, and those that follow are on hold.
func (s *session) maySend(f protocol.Frame, raw []byte) bool {
	if s.heldBack(f, raw) {
		return false
	}
	if s.gateway.limiter == nil {
		return true
	}
	kind, wait := limiter.Sends, s.spend(limiter.Sends, &s.sends, 1, s.gateway.blocks.sends)
	if wait == 0 {
		kind, wait = limiter.SendBytes, s.spend(limiter.SendBytes, &s.sendBytes, bodyOf(f), s.gateway.blocks.bytes)
		if wait == 0 {
			return true
		}
		s.sends++
	}
	s.gateway.counters.refusedUserRate.Add(1)
	s.refuseSend(f, raw, limited[kind], wait)
	return false
}

// unspend gives the connection the tokens back of a SEND for which there was no room in
// its lane: nothing was done, and it comes again.
func (s *session) unspend(f protocol.Frame) {
	if s.gateway.limiter != nil {
		s.sends++
		s.sendBytes += bodyOf(f)
	}
}

// bodyOf gives the length of the body of a SEND.
func bodyOf(f protocol.Frame) int { return max(0, len(f.Payload)-sendFixed) }

// blocks are how many tokens a connection takes at once, ahead of time, for a look at
// the clock and a lock for each message are a tenth of what it costs. What a
// connection has left at its end is lost.
type blocks struct{ sends, bytes int }

func newBlocks(l limiter.Limiter) blocks {
	b := blocks{1, 1}
	if l, ok := l.(limiter.Sized); ok {
		b.sends = min(max(1, l.Burst(limiter.Sends)/blockShare), maxBlockSends)
		b.bytes = min(max(1, l.Burst(limiter.SendBytes)/blockShare), maxBlockBytes)
	}
	return b
}

// spend takes tokens of the user from those that the connection has already, left,
// and from the limiter, which it asks for a block.
func (s *session) spend(kind limiter.Kind, left *int, need, block int) (wait time.Duration) {
	if *left >= need {
		*left -= need
		return 0
	}
	l, user := s.gateway.limiter, limiter.User(s.user)
	short := need - *left
	if block > short && l.Take(kind, user, block) == 0 {
		*left = block - short
		return 0
	}
	if wait = l.Take(kind, user, short); wait == 0 {
		*left = 0
	}
	return wait
}

// mayAsk says whether a SYNC or HISTORY is within the limits of its user; one that is
// not has been answered.
func (s *session) mayAsk(f protocol.Frame, raw []byte) bool {
	l := s.gateway.limiter
	if l == nil {
		return true
	}
	kind := limiter.Histories
	if f.Type == protocol.TypeSync {
		kind = limiter.Syncs
	}
	wait := l.Take(kind, limiter.User(s.user), 1)
	if wait == 0 {
		return true
	}
	s.gateway.counters.refusedUserRate.Add(1)
	s.refuse(f, raw, protocol.CodeRateLimited, limited[kind], wait)
	return false
}

// refuseSend refuses a SEND over a limit and holds those that follow. The hold lasts
// until what was asked for is allowed, and for a client that is refused again soon
// after twice as long as the last: it then sends many at a time in place of a few with
// many refusals.
func (s *session) refuseSend(f protocol.Frame, raw []byte, text string, wait time.Duration) {
	if h := s.held.Load(); h == nil || s.gateway.wheel.now() > h.until+s.heldTicks {
		s.heldTicks = 0
	}
	s.heldTicks = min(max(2*s.heldTicks, minHoldTicks), maxHoldTicks)
	wait = max(wait, time.Duration(s.heldTicks)*tick)
	s.refuse(f, raw, protocol.CodeRateLimited, text, s.hold(wait, protocol.CodeRateLimited, text))
}

// refuse answers with an ERROR that says for how long to wait, and ends the
// connection of a client that does not heed it.
func (s *session) refuse(f protocol.Frame, raw []byte, code protocol.Code, text string, wait time.Duration) {
	answer := protocol.Failure{
		Code: code, Text: []byte(text), RetryAfter: uint32((wait + time.Millisecond - 1) / time.Millisecond),
	}
	s.reply(answer.AppendError(nil, f.Request))
	s.defy(raw)
}

// defy notes that a client goes on over its limits.
func (s *session) defy(raw []byte) {
	now := s.gateway.wheel.now()
	if now >= s.defiedUntil {
		s.defied, s.defiedUntil = 0, now+defiedTicks
	}
	if s.defied += defiance(raw); s.defied > maxDefied {
		s.offend()
	}
}

// defiance gives as how many frames a refused one counts.
func defiance(raw []byte) int {
	if typeOf(raw).Lane() == protocol.LaneRead {
		return defiedQuery
	}
	return inFrames(raw)
}

// inFrames gives as how many frames one counts for its length.
func inFrames(raw []byte) int { return 1 + len(raw)/longBytes }

// overLimitsDelay gives the retry_after of a CLOSE to whom a limit keeps out.
func overLimitsDelay() uint32 {
	half := overLimitsRetry.Milliseconds() / 2
	return uint32(half + rand.Int64N(half))
}
