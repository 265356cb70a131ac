package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gannet/internal/operate"
)

const (
	// courierBytes and courierParcels bound what waits for one gateway: a second
	// of a busy one. What comes on top becomes one hint to sync everything.
	courierBytes   = 16 << 20
	courierParcels = 4096

	// courierTurn is how many pushes a caller makes at most.
	courierTurn = 8

	// pushTimeout is how long a gateway may take for a push before it is pushed
	// again.
	pushTimeout = time.Second

	// pushPause is how long a push that failed waits for the next try, and
	// pushPauseMost what it grows to.
	pushPause     = 50 * time.Millisecond
	pushPauseMost = 2 * time.Second

	// refusedMost is how often a push is refused before it is given up.
	refusedMost = 5
)

// courier takes pushes to one epoch of one gateway, in order and one at a time.
// What comes meanwhile waits in its queue, so a gateway that fails or hangs holds up
// nobody else.
//
// Whoever finds it idle makes it busy and pushes (run); it stays busy until nothing
// waits, or a try has failed. Only a try that takes too long is taken out of the
// hands of whoever made it. While it is neither busy nor pausing, nothing waits.
type courier struct {
	couriers *couriers
	epoch    uint64
	said     operate.Seldom // that a push failed

	mu         sync.Mutex
	waiting    []*parcel // behind current, oldest first
	bytes      int       // of waiting
	everything bool      // pushes were dropped: say so before the next one
	owes       bool      // that was not said yet, as far as whoever follows next is told
	current    *parcel   // under way, or to be tried again
	over       *parcel   // the first of those that end when mu is released
	busy       bool      // somebody pushes, or the gateway has not answered
	try        uint64    // the newest try; an answer to an earlier one is late
	underWay   bool      // it is not answered
	resumes    bool      // Push has returned without an answer: whoever answers goes on
	since      time.Time // when the try began, or failed
	pause      time.Duration
	idle       time.Time // when there was nothing to do any more
	ended      bool
}

// unlock releases mu and then ends the parcels that are over: whoever waits for one
// may do anything when it hears of it, even come back here.
func (c *courier) unlock() {
	p := c.over
	c.over = nil
	c.mu.Unlock()
	for p != nil {
		next := p.over
		p.over = nil
		p.finish()
		p = next
	}
}

// end has a parcel end with the next unlock.
func (c *courier) end(p *parcel) {
	p.over, c.over = c.over, p
}

// send hands the courier a parcel; false: its epoch has ended. The push may be made
// under ctx, if it is made at once.
func (c *courier) send(ctx context.Context, p *parcel) bool {
	c.mu.Lock()
	switch {
	case c.ended:
		c.unlock()
		return false
	case !c.busy && c.pause == 0:
		c.current = p
		c.run(ctx)
		return true
	}
	p.keep()
	if len(c.waiting) == courierParcels || len(c.waiting) > 0 && c.bytes+p.bytes > courierBytes {
		c.overflow(p)
	} else {
		c.waiting = append(c.waiting, p)
		c.bytes += p.bytes
	}
	c.unlock()
	return true
}

// overflow turns everything that waits, and p, into one hint. mu is held.
func (c *courier) overflow(p *parcel) {
	n := p.deliveries()
	c.end(p)
	for _, w := range c.waiting {
		n += w.deliveries()
		c.end(w)
	}
	c.waiting, c.bytes, c.everything = nil, 0, true
	c.owe(true)
	if c.current != nil && !c.underWay { // waits for its next try: the hint stands for it too
		n += c.current.deliveries()
		c.end(c.current)
		c.current = nil
	}
	c.couriers.server.counters.everything.Add(n)
}

// owe has it kept whether the gateway is owed a hint, before the records end for which it
// stands. mu is held.
func (c *courier) owe(owes bool) {
	if c.owes != owes {
		c.owes = owes
		c.couriers.server.owes(c.epoch, owes)
	}
}

// run pushes what waits, one after the other, for as long as the gateway answers at
// once; the first under ctx, the others are not of its caller, who is let go after a
// few: its queue, and all who wait for acks of it, would stand still for as long as
// other queues go on. mu is held, and released.
func (c *courier) run(ctx context.Context) {
	server := c.couriers.server.ctx
	c.busy = true
	for n := 0; c.next(); n++ {
		if n == courierTurn {
			go func() {
				c.mu.Lock()
				c.run(server)
			}()
			c.unlock() // busy, so nobody else begins
			return
		}
		if server.Err() != nil {
			c.unlock() // busy for ever: a server that has stopped pushes nothing
			return
		}
		c.try++
		c.underWay, c.resumes, c.since = true, false, time.Now()
		try, p := c.try, c.current
		c.unlock()
		c.push(ctx, p, func(absent []uint64, err error) { c.answered(try, absent, err) })
		c.mu.Lock()
		if c.try != try { // it took too long, and is in other hands
			c.unlock()
			return
		}
		if c.underWay {
			c.resumes = true
			c.unlock()
			return
		}
		if c.pause != 0 || c.ended {
			break
		}
		ctx = server
	}
	c.busy = false
	c.unlock()
}

// next makes what waits first current; false: nothing does. mu is held.
func (c *courier) next() bool {
	switch {
	case c.current != nil:
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

var (
	// errTimeout is the failure of a push that was not answered in time.
	errTimeout = errors.New("transfer: the gateway did not answer in time")

	errPanicked = errors.New("transfer: pushing panicked")
)

// push calls the port. A panic there is an error like any other.
func (c *courier) push(ctx context.Context, p *parcel, done func(absent []uint64, err error)) {
	defer func() {
		if cause := recover(); cause != nil {
			done(nil, fmt.Errorf("%w: %v", errPanicked, cause))
		}
	}()
	c.couriers.server.config.Gateways.Push(ctx, c.epoch, &p.push, done)
}

// answered takes the gateway's answer to a try.
func (c *courier) answered(try uint64, absent []uint64, err error) {
	c.mu.Lock()
	if try != c.try || !c.underWay {
		c.unlock()
		c.couriers.server.counters.late.Add(1)
		return
	}
	c.conclude(absent, err)
	switch {
	case !c.resumes:
		c.unlock() // run is about to look
	case c.pause == 0 && !c.ended:
		c.run(c.couriers.server.ctx)
	default:
		c.busy = false
		c.unlock()
	}
}

// conclude ends a try. mu is held.
func (c *courier) conclude(absent []uint64, err error) {
	s := c.couriers.server
	c.underWay = false
	switch {
	case err == nil:
		s.counters.absent.Add(min(uint64(len(absent)), c.current.deliveries()))
		if c.current.push.Everything && !c.everything {
			c.owe(false)
		}
		c.end(c.current)
		c.current, c.pause = nil, 0
	case errors.Is(err, ErrEnded):
		n := c.current.deliveries()
		c.end(c.current)
		for _, p := range c.waiting {
			n += p.deliveries()
			c.end(p)
		}
		c.current, c.waiting, c.bytes, c.everything, c.ended = nil, nil, 0, false, true
		c.owe(false)
		s.counters.ended.Add(n)
	case errors.Is(err, ErrRefused) && c.current.refusals == refusedMost-1:
		c.refused(err)
	default:
		if errors.Is(err, ErrRefused) {
			c.current.refusals++
		}
		// A try that was given up, or broke off, may still be read.
		c.current.read = c.current.read || err == errTimeout || errors.Is(err, errPanicked)
		c.pause = min(max(2*c.pause, pushPause), pushPauseMost)
		c.since = time.Now()
		s.counters.pushes.Add(1)
		if c.said.Now() {
			s.config.Log.Warn("transfer: a push failed, it is repeated", "gateway", c.epoch, "error", err)
		}
	}
}

// refused gives the current parcel up, which its gateway does not take, and has its record
// parked. A hint stands for it, after a pause: it may be the hint that is refused. mu is
// held.
func (c *courier) refused(err error) {
	s, p := c.couriers.server, c.current
	if p.ticket != nil {
		s.park(p.ticket.queue, p.ticket.mark, "refused by a gateway")
	}
	s.counters.refused.Add(p.deliveries())
	if c.said.Now() {
		s.config.Log.Error("transfer: a gateway refuses a push again and again, a hint stands for it", "gateway", c.epoch, "error", err)
	}
	c.end(p)
	c.current, c.everything = nil, true
	c.owe(true)
	c.pause, c.since = pushPauseMost, time.Now()
}

// tick gives a push that takes too long up, tries a failed one again, and says
// whether the courier is not needed any more.
func (c *courier) tick(now time.Time) (over bool) {
	c.mu.Lock()
	switch {
	case c.ended:
	case c.underWay && now.Sub(c.since) >= pushTimeout:
		c.try++ // what is answered from here on is late
		c.busy = false
		c.conclude(nil, errTimeout)
	case !c.busy && c.pause != 0 && now.Sub(c.since) >= c.pause:
		c.busy = true
		go func() { // the port may hang, and there are other couriers
			c.mu.Lock()
			c.run(c.couriers.server.ctx)
		}()
	case !c.busy && c.pause == 0 && now.Sub(c.idle) >= courierIdle:
		c.ended = true
	}
	over = c.ended
	c.unlock()
	return over
}
