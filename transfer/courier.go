package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"gannet/internal/hop"
	"gannet/internal/operate"
)

const (
	// courierBytes and courierParcels bound what waits for one gateway: a second of work of a
	// busy one. If there is more, everything that waits becomes one hint to sync everything.
	courierBytes   = 16 << 20
	courierParcels = 4096

	// togetherBytes bounds what goes to a gateway in one call: sixteen records of 64 KiB. A larger
	// one would hold up the pushes of other transfers there, and they save no more.
	togetherBytes = 1 << 20

	// courierTurn is how many calls a caller makes at most.
	courierTurn = 8

	// pushTimeout is how long a gateway may take for a push before it is tried again.
	pushTimeout = time.Second

	// pushPause is how long to wait before a failed push is tried again. The pause doubles up to
	// pushPauseMost.
	pushPause     = 50 * time.Millisecond
	pushPauseMost = 2 * time.Second

	// courierPatience is how long pushes are kept for a gateway whose registration has not ended and
	// that does not take them. After that one hint stands for them. The records of a queue are done
	// in their order, so these pushes would hold up the marks of their queues until the broker
	// removes the records.
	courierPatience = time.Minute

	// refusedMost is how often a push is refused before it is given up.
	refusedMost = 5
)

// courier brings pushes to one epoch of one gateway, in order and with one call at a time. Other
// parcels wait in its queue meanwhile, and go together in the next call. So a gateway that fails
// or hangs holds up nobody else.
//
// A caller that finds it idle makes it busy and pushes (run). It stays busy until nothing waits
// or a try has failed. A try that takes too long is taken away from its goroutine (tick). While
// the courier is neither busy nor pausing, nothing waits.
type courier struct {
	couriers *couriers
	epoch    uint64
	said     operate.Seldom // that a push failed
	gaveUp   operate.Seldom // that a hint stands for what waited

	mu         sync.Mutex
	waiting    []*parcel   // behind current, oldest first
	bytes      int         // of waiting
	everything bool        // pushes were dropped: a hint to sync everything goes out next
	owes       bool        // Parking was told that this hint is owed
	current    []*parcel   // under way, or to be tried again
	pushes     []*hop.Push // those of current, as Push gets them
	alone      int         // so many parcels go alone: one of them was refused
	most       int         // bytes of a call with several parcels: less after a failure
	over       *parcel     // the list of parcels that unlock ends
	busy       bool        // somebody pushes, or the gateway has not answered
	try        uint64      // number of the newest try; an answer to an earlier one is late
	underWay   bool        // it is not answered
	resumes    bool        // Push returned before the answer: the answering goroutine goes on
	since      time.Time   // when the try began, or failed
	failing    time.Time   // when the first try failed since pushes were taken
	pause      time.Duration
	idle       time.Time // when there was nothing to do any more
	ended      bool
}

// unlock releases mu and then ends the parcels that are over. This comes after the release
// because whoever waits for a parcel may then do anything, even call this courier.
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

// end makes the next unlock end a parcel. The caller holds mu.
func (c *courier) end(p *parcel) {
	p.over, c.over = c.over, p
}

// send gives the courier a parcel. It returns false if the courier has ended. If the push is made
// at once, it is made with ctx.
func (c *courier) send(ctx context.Context, p *parcel) bool {
	c.mu.Lock()
	switch {
	case c.ended:
		c.unlock()
		return false
	case !c.busy && c.pause == 0:
		c.current = append(c.current, p)
		c.run(ctx)
		return true
	}
	p.keep()
	if len(c.waiting) >= courierParcels || len(c.waiting) > 0 && c.bytes+p.bytes > courierBytes {
		c.waiting = append(c.waiting, p)
		c.giveUp()
	} else {
		c.waiting = append(c.waiting, p)
		c.bytes += p.bytes
	}
	c.unlock()
	return true
}

// giveUp replaces everything that waits by one hint. The caller holds mu.
func (c *courier) giveUp() {
	n := uint64(0)
	for _, w := range c.waiting {
		n += w.deliveries()
		c.end(w)
	}
	c.waiting, c.bytes, c.everything, c.alone = nil, 0, true, 0
	c.owe(true)
	if !c.underWay { // what waits for its next try is replaced by the hint too
		n += c.finish()
	}
	s := c.couriers.server
	if s.counters.everything.Add(n); n > 0 && c.gaveUp.Now() {
		s.config.Log.Error("transfer: a gateway does not take what is for it, and is told to hint everybody to sync in place of it", "gateway", fmt.Sprintf("%x", c.epoch), "deliveries", n)
	}
}

// finish ends the current parcels and gives how many deliveries they have. The caller holds mu.
func (c *courier) finish() (deliveries uint64) {
	for _, p := range c.current {
		deliveries += p.deliveries()
		c.end(p)
	}
	if len(c.current) > 0 && !c.current[0].push.Everything { // a hint is none of those that go alone
		c.alone = max(c.alone-len(c.current), 0)
	}
	c.empty()
	return deliveries
}

// owe has Parking note whether the gateway is owed a hint. Call it before the records end that
// the hint replaces. The caller holds mu.
func (c *courier) owe(owes bool) {
	if c.owes != owes {
		c.owes = owes
		c.couriers.server.owes(c.epoch, owes)
	}
}

// empty forgets the current parcels. No call that reads them is under way. The caller holds mu.
func (c *courier) empty() {
	clear(c.current)
	clear(c.pushes)
	c.current, c.pushes = c.current[:0], c.pushes[:0]
}

// run makes one call after the other, as long as the gateway answers at once. Only the first one
// is the caller's own and is made with ctx. After courierTurn calls another goroutine goes on.
// Otherwise the caller's queue, and all who wait for acks of it, would stand still as long as
// other queues bring parcels. The caller holds mu, and run releases it.
func (c *courier) run(ctx context.Context) {
	server := c.couriers.server.ctx
	c.busy = true
	for n := 0; c.next(); n++ {
		if n == courierTurn {
			go func() {
				c.mu.Lock()
				c.run(server)
			}()
			c.unlock() // it is busy, so no other goroutine begins
			return
		}
		if server.Err() != nil {
			c.unlock() // it stays busy for ever: a stopped server pushes nothing
			return
		}
		c.try++
		c.underWay, c.resumes, c.since = true, false, time.Now()
		try, pushes := c.try, c.pushes
		c.unlock()
		c.push(ctx, pushes, func(absent []uint64, err error) { c.answered(try, absent, err) })
		c.mu.Lock()
		if c.try != try { // the try took too long, and tick took it away
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

// next makes the next parcels current. It returns false if nothing waits. The caller holds mu.
func (c *courier) next() bool {
	switch {
	case len(c.current) > 0: // it is tried again
	case c.everything:
		c.everything = false
		p := newParcel(c.epoch)
		p.push.Everything = true
		c.current = append(c.current, p)
	case len(c.waiting) > 0:
		n, bytes := 1, c.waiting[0].bytes
		for c.alone == 0 && n < len(c.waiting) && bytes+c.waiting[n].bytes <= c.most {
			bytes += c.waiting[n].bytes
			n++
		}
		c.current = append(c.current, c.waiting[:n]...)
		c.bytes -= bytes
		clear(c.waiting[:n])
		if c.waiting = c.waiting[n:]; len(c.waiting) == 0 {
			c.waiting = nil
		}
	default:
		c.idle = time.Now()
		return false
	}
	c.pushes = c.pushes[:0]
	for _, p := range c.current {
		c.pushes = append(c.pushes, &p.push)
	}
	return true
}

// apart lets several current parcels wait again after a failure, so that they go in smaller
// calls: alone if one of them was refused. A gateway that is too slow for the call can perhaps
// take less. The caller holds mu.
func (c *courier) apart(refused bool) {
	bytes := 0
	for _, p := range c.current {
		bytes += p.bytes
	}
	if refused {
		c.alone = len(c.current)
	} else {
		c.most = bytes / 2
	}
	c.bytes += bytes
	c.waiting = append(slices.Clone(c.current), c.waiting...)
	c.empty()
}

var (
	// errTimeout is the failure of a push that was not answered in time.
	errTimeout = errors.New("transfer: the gateway did not answer in time")

	errPanicked = errors.New("transfer: pushing panicked")
)

// push calls Gateways.Push. It turns a panic there into an error.
func (c *courier) push(ctx context.Context, pushes []*hop.Push, done func(absent []uint64, err error)) {
	defer func() {
		if cause := recover(); cause != nil {
			done(nil, fmt.Errorf("%w: %v", errPanicked, cause))
		}
	}()
	c.couriers.server.config.Gateways.Push(ctx, c.epoch, pushes, done)
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
		c.unlock() // run will see the answer
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
		if c.current[0].push.Everything && !c.everything {
			c.owe(false)
		}
		s.counters.absent.Add(min(uint64(len(absent)), c.finish()))
		c.pause, c.failing = 0, time.Time{}
		c.most = min(2*c.most+1, togetherBytes)
	case errors.Is(err, ErrEnded):
		n := c.finish()
		for _, p := range c.waiting {
			n += p.deliveries()
			c.end(p)
		}
		c.waiting, c.bytes, c.everything, c.ended = nil, 0, false, true
		c.owe(false)
		s.counters.ended.Add(n)
	case errors.Is(err, ErrRefused) && c.current[0].refusals == refusedMost-1:
		c.refused(err)
	default:
		refused := errors.Is(err, ErrRefused)
		if err == errTimeout || errors.Is(err, errPanicked) { // the gateway may still read the pushes
			for _, p := range c.current {
				p.read = true
			}
			c.pushes = nil
		}
		if len(c.current) > 1 {
			c.apart(refused)
		} else if refused {
			c.current[0].refusals++
		}
		c.pause = min(max(2*c.pause, pushPause), pushPauseMost)
		if c.since = time.Now(); c.failing.IsZero() {
			c.failing = c.since
		}
		s.counters.pushes.Add(1)
		if c.said.Now() {
			s.config.Log.Warn("transfer: a push failed, it is repeated", "gateway", fmt.Sprintf("%x", c.epoch), "error", err)
		}
	}
}

// refused gives up the current parcel, which the gateway refuses though it comes alone, and has
// its record parked. A hint replaces it, after a pause, because the refused push may itself be the
// hint. The caller holds mu.
func (c *courier) refused(err error) {
	s := c.couriers.server
	if p := c.current[0]; p.ticket != nil {
		s.park(p.ticket.queue, p.ticket.mark, "refused by a gateway")
	}
	s.counters.refused.Add(c.finish())
	if c.said.Now() {
		s.config.Log.Error("transfer: a gateway refuses a push again and again, a hint stands for it", "gateway", fmt.Sprintf("%x", c.epoch), "error", err)
	}
	c.everything = true
	c.owe(true)
	c.pause, c.since = pushPauseMost, time.Now()
}

// tick gives up a push that takes too long and tries a failed one again. over says that the
// courier is not needed any more.
func (c *courier) tick(now time.Time) (over bool) {
	c.mu.Lock()
	switch {
	case c.ended:
	case c.underWay && now.Sub(c.since) >= pushTimeout:
		c.try++ // an answer to the try given up is late from here on
		c.busy = false
		c.conclude(nil, errTimeout)
	case !c.busy && c.pause != 0 && now.Sub(c.since) >= c.pause:
		if !c.failing.IsZero() && now.Sub(c.failing) >= courierPatience {
			c.giveUp()
		}
		c.busy = true
		go func() { // on its own goroutine: the port may hang, and other couriers need tick
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
