package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// courierBytes and courierParcels bound what waits for one gateway: a second
	// of a busy one. What comes on top becomes one hint to sync everything.
	courierBytes   = 16 << 20
	courierParcels = 4096

	// pushTimeout is how long a gateway may take for a push before it is pushed
	// again.
	pushTimeout = time.Second

	// pushPause is how long a push that failed waits for the next try, and
	// pushPauseMost what it grows to.
	pushPause     = 50 * time.Millisecond
	pushPauseMost = 2 * time.Second
)

// courier takes pushes to one epoch of one gateway, in order and one at a time.
// What comes meanwhile waits in its queue, so a gateway that fails or hangs holds up
// nobody else.
type courier struct {
	couriers *couriers
	epoch    uint64

	mu         sync.Mutex
	waiting    []*parcel // behind current, oldest first
	bytes      int       // of the frames in waiting
	everything bool      // pushes were dropped: say so before the next one
	current    *parcel   // under way, or to be tried again
	try        uint64    // the push under way; an answer to an earlier one is late
	underWay   bool
	resumes    bool // Push has returned without an answer: whoever answers goes on
	tainted    bool // a try of current may still be read by the gateway
	since      time.Time
	pause      time.Duration // before the next try; 0: the last one did not fail
	idle       time.Time     // when there was nothing to do any more
	ended      bool
}

// send hands the courier a parcel; false: its epoch has ended.
func (c *courier) send(ctx context.Context, p *parcel) bool {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return false
	}
	if len(c.waiting) == courierParcels || len(c.waiting) > 0 && c.bytes+p.bytes > courierBytes {
		c.overflow(p)
	} else {
		c.waiting = append(c.waiting, p)
		c.bytes += p.bytes
	}
	if c.underWay || c.pause != 0 {
		c.mu.Unlock()
		return true
	}
	c.run(ctx)
	return true
}

// overflow turns everything that waits, and p, into one hint. mu is held.
func (c *courier) overflow(p *parcel) {
	n := len(c.waiting) + 1
	for _, w := range c.waiting {
		w.finish()
	}
	p.finish()
	clear(c.waiting)
	c.waiting, c.bytes, c.everything = c.waiting[:0], 0, true
	if c.current != nil && !c.underWay { // waits for its next try: the hint stands for it too
		c.drop(c.current)
		c.current = nil
		n++
	}
	c.couriers.server.counters.everything.Add(uint64(n))
}

// drop ends current.
func (c *courier) drop(p *parcel) {
	if c.tainted {
		p.abandon()
	} else {
		p.finish()
	}
}

// run pushes what waits, one after the other, for as long as the gateway answers at
// once. mu is held, and released.
func (c *courier) run(ctx context.Context) {
	for c.next() {
		c.try++
		c.underWay, c.resumes, c.since = true, false, time.Now()
		try, p := c.try, c.current
		c.mu.Unlock()
		c.push(ctx, p, func(absent []uint64, err error) { c.answered(try, absent, err) })
		c.mu.Lock()
		if c.underWay && c.try == try {
			c.resumes = true
			break
		}
		if c.pause != 0 || c.ended {
			break
		}
	}
	c.mu.Unlock()
}

// next makes what waits first current; false: nothing does. mu is held.
func (c *courier) next() bool {
	if c.current != nil {
		return true
	}
	c.tainted = false
	switch {
	case c.everything:
		c.everything = false
		c.current = newParcel(c.epoch)
		c.current.push.Everything = true
	case len(c.waiting) > 0:
		c.current = c.waiting[0]
		c.bytes -= c.current.bytes
		c.waiting[0] = nil
		if c.waiting = c.waiting[1:]; len(c.waiting) == 0 {
			c.waiting = nil
		}
	default:
		c.idle = time.Now()
		return false
	}
	return true
}

// push calls the port. A panic there is an error like any other.
func (c *courier) push(ctx context.Context, p *parcel, done func(absent []uint64, err error)) {
	defer func() {
		if cause := recover(); cause != nil {
			done(nil, fmt.Errorf("transfer: pushing panicked: %v", cause))
		}
	}()
	c.couriers.server.config.Gateways.Push(ctx, c.epoch, &p.push, done)
}

// answered takes the gateway's answer to a try.
func (c *courier) answered(try uint64, absent []uint64, err error) {
	c.mu.Lock()
	if try != c.try || !c.underWay {
		c.mu.Unlock()
		c.couriers.server.counters.late.Add(1)
		return
	}
	c.underWay = false
	c.settle(absent, err)
	if c.resumes && c.pause == 0 && !c.ended {
		c.run(c.couriers.server.ctx)
		return
	}
	c.mu.Unlock()
}

// settle ends a try. mu is held.
func (c *courier) settle(absent []uint64, err error) {
	s := c.couriers.server
	switch {
	case err == nil:
		s.counters.absent.Add(uint64(len(absent)))
		c.drop(c.current)
		c.current, c.pause = nil, 0
	case errors.Is(err, ErrEnded):
		n := 1 + len(c.waiting)
		c.drop(c.current)
		for _, p := range c.waiting {
			p.finish()
		}
		c.current, c.waiting, c.bytes, c.everything, c.ended = nil, nil, 0, false, true
		s.counters.ended.Add(uint64(n))
	default:
		if c.pause == 0 { // one line for each time that a gateway fails, not for each try
			s.config.Log.Warn("transfer: a push failed, it is repeated", "gateway", c.epoch, "error", err)
		}
		c.pause = min(max(2*c.pause, pushPause), pushPauseMost)
		c.since = time.Now()
		s.counters.pushes.Add(1)
	}
}

// errTimeout is the failure of a push that was not answered in time.
var errTimeout = errors.New("transfer: the gateway did not answer in time")

// tick gives a push that takes too long up, tries a failed one again, and says
// whether the courier is not needed any more.
func (c *courier) tick(now time.Time) (over bool) {
	c.mu.Lock()
	switch {
	case c.ended:
		over = true
	case c.underWay && now.Sub(c.since) >= pushTimeout:
		c.underWay, c.tainted = false, true
		c.settle(nil, errTimeout)
	case !c.underWay && c.pause != 0 && now.Sub(c.since) >= c.pause:
		go func() { // the port may hang, and there are other couriers
			c.mu.Lock()
			if c.underWay || c.ended {
				c.mu.Unlock()
				return
			}
			c.run(c.couriers.server.ctx)
		}()
	case !c.underWay && c.pause == 0 && now.Sub(c.idle) >= courierIdle:
		c.ended, over = true, true
	}
	c.mu.Unlock()
	return over
}
