package gateway

import (
	"math/rand/v2"
	"time"

	"gannet/internal/limiter"
	"gannet/protocol"
)

// limited has the text of the ERROR for each limit, for a human reader.
var limited = [limiter.Kinds]string{
	limiter.Sends:     "over the limit of messages per second of this user",
	limiter.SendBytes: "over the limit of bytes of messages per second of this user",
	limiter.Syncs:     "over the limit of SYNC per second of this user",
	limiter.Histories: "over the limit of HISTORY per second of this user",
}

const limitedFrames = "over the limit of frames per second of this connection"

// sendFixed is the payload of a SEND without its body.
const sendFixed = 9 + 8 + 1 + 4

// maySend says whether a SEND is within the limits of its user. If not, it has been answered, and
// later SENDs are on hold.
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

// unspend gives the connection the tokens of a SEND back that found no room in its lane. Nothing
// was done, and the SEND will come again.
func (s *session) unspend(f protocol.Frame) {
	if s.gateway.limiter != nil {
		s.sends++
		s.sendBytes += bodyOf(f)
	}
}

// bodyOf gives the length of the body of a SEND.
func bodyOf(f protocol.Frame) int { return max(0, len(f.Payload)-sendFixed) }

// blocks says how many tokens a connection takes in advance, at once. A look at the clock and a
// lock for each message would be a tenth of what a message costs. Tokens that are left when the
// connection ends are lost.
type blocks struct{ sends, bytes int }

func newBlocks(l limiter.Limiter) blocks {
	b := blocks{1, 1}
	if l, ok := l.(limiter.Sized); ok {
		b.sends = min(max(1, l.Burst(limiter.Sends)/blockShare), maxBlockSends)
		b.bytes = min(max(1, l.Burst(limiter.SendBytes)/blockShare), maxBlockBytes)
	}
	return b
}

// spend takes tokens of the user: first those that the connection has left, and then a block from
// the limiter.
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

// mayAsk says whether a SYNC or HISTORY is within the limits of its user. If not, it has been
// answered.
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

// refuseSend refuses a SEND over a limit and holds later ones until the limit allows this one. A
// client that is refused again soon afterwards is held for twice as long as before. It then sends
// many SENDs at a time, instead of a few with many refusals.
func (s *session) refuseSend(f protocol.Frame, raw []byte, text string, wait time.Duration) {
	if h := s.held.Load(); h == nil || s.gateway.wheel.now() > h.until+s.heldTicks {
		s.heldTicks = 0
	}
	s.heldTicks = min(max(2*s.heldTicks, minHoldTicks), maxHoldTicks)
	wait = max(wait, time.Duration(s.heldTicks)*tick)
	s.refuse(f, raw, protocol.CodeRateLimited, text, s.hold(wait, protocol.CodeRateLimited, text))
}

// refuse answers with an ERROR that says how long to wait. If the client does not obey that, it
// ends the connection.
func (s *session) refuse(f protocol.Frame, raw []byte, code protocol.Code, text string, wait time.Duration) {
	answer := protocol.Failure{
		Code: code, Text: []byte(text), RetryAfter: uint32((wait + time.Millisecond - 1) / time.Millisecond),
	}
	s.reply(answer.AppendError(nil, f.Request))
	s.defy(raw)
}

// defy counts frames of a client that goes on over its limits.
func (s *session) defy(raw []byte) {
	now := s.gateway.wheel.now()
	if now >= s.defiedUntil {
		s.defied, s.defiedUntil = 0, now+defiedTicks
	}
	if s.defied += defiance(raw); s.defied > maxDefied {
		s.offend()
	}
}

// defiance gives how many frames a refused frame counts as.
func defiance(raw []byte) int {
	if typeOf(raw).Lane() == protocol.LaneRead {
		return defiedQuery
	}
	return inFrames(raw)
}

// inFrames gives how many frames a frame counts as because of its length.
func inFrames(raw []byte) int { return 1 + len(raw)/longBytes }

// overLimitsDelay gives a random retry_after for a CLOSE to a client that a limit keeps out.
func overLimitsDelay() uint32 {
	half := overLimitsRetry.Milliseconds() / 2
	return uint32(half + rand.Int64N(half))
}
