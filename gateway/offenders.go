package gateway

import (
	"sync"

	"gannet/protocol"
)

// maxOffenders bounds the users of whom a gateway remembers that they went on over their
// limits.
const maxOffenders = 4096

// offenders are the users whose connection was closed with over_limits, and until when they are
// kept out. Without this a new connection would begin with fresh tokens.
type offenders struct {
	mu   sync.Mutex
	bans bans[uint64]
}

// add keeps a user out until a tick. dropped says that another user is let in early, to make
// room.
func (o *offenders) add(user uint64, until, now int64) (dropped bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bans.max = maxOffenders
	return o.bans.add(user, until, now)
}

// left gives for how many ticks a user stays out.
func (o *offenders) left(user uint64, now int64) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bans.left(user, now)
}

// offend closes the connection of a client that went on over its limits. It keeps the user out
// for the same time that the client is told to stay away.
func (s *session) offend() {
	g := s.gateway
	delay := overLimitsDelay()
	now := g.wheel.now()
	if g.offenders.add(s.user, now+int64(delay)/tick.Milliseconds(), now) {
		g.counters.droppedOffenders.Add(1)
	}
	s.closeAfter(protocol.CodeOverLimits, delay)
}
