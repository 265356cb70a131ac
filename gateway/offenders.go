package gateway

import (
	"sync"

	"gannet/protocol"
)

// maxOffenders bounds the users of whom a gateway remembers that they went on over their
// limits; of more than that the ones before are forgotten.
const maxOffenders = 4096

// offenders are users whose connection was closed with over_limits, and until when they
// stay out: a new connection would begin with fresh tokens.
type offenders struct {
	mu    sync.Mutex
	until map[uint64]int64 // tick
}

// add keeps a user out until a tick.
func (o *offenders) add(user uint64, until, now int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.until) >= maxOffenders {
		for u, t := range o.until {
			if t <= now {
				delete(o.until, u)
			}
		}
		if len(o.until) >= maxOffenders {
			clear(o.until)
		}
	}
	if o.until == nil {
		o.until = make(map[uint64]int64)
	}
	o.until[user] = until
}

// left gives for how many ticks a user stays out.
func (o *offenders) left(user uint64, now int64) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	until, ok := o.until[user]
	if !ok {
		return 0
	}
	if until <= now {
		delete(o.until, user)
		return 0
	}
	return until - now
}

// offend closes the connection of a client that went on over its limits, and keeps its
// user out for as long as it is told to stay away.
func (s *session) offend() {
	g := s.gateway
	delay := overLimitsDelay()
	now := g.wheel.now()
	g.offenders.add(s.user, now+int64(delay)/tick.Milliseconds(), now)
	s.closeAfter(protocol.CodeOverLimits, delay)
}
