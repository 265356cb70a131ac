package gannet

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxUnheard is how many outcomes may wait for their hook: while it is full
	// nobody but a hook may send, so that what waits stays bounded.
	maxUnheard = 4096

	// maxReceipts and maxEvents bound what waits of the others; see Handler.
	maxReceipts = 256
	maxEvents   = 64

	// A message that its hook refused comes again after a pause, doubled with
	// each refusal in a row.
	refusedMin = time.Second
	refusedMax = time.Minute
)

// hooks is what waits for the hooks of the app, but for messages, which wait in
// the queue. A goroutine calls them, begun when there is something and ended when
// there has been nothing, so an idle client has none.
type hooks struct {
	life   context.Context // what hooks get
	cancel context.CancelFunc
	wake   chan struct{} // holds one token when there is something to do
	ended  chan struct{} // closed when no hook will be called any more

	up     atomic.Bool   // running, for who puts messages
	runner atomic.Uint64 // the goroutine that calls hooks; 0: there is none
	posts  atomic.Bool   // a hook has posted in this client's life
	posted atomic.Bool   // and what it posted may not be written yet

	mu       sync.Mutex
	outcomes []told
	receipts []Receipt
	events   []Event
	running  bool // the goroutine is there
	asleep   bool // it waits for wake
	leave    bool // it ends when it has nothing to do
	last     bool // nothing more comes
	messages bool // it takes from the queue
}

// told is an outcome on its way to the hook.
type told struct {
	Outcome
	kept bool // the store has it until it is heard
}

// hookKey marks the context of a client's hooks; its value is the client.
type hookKey struct{}

func (h *hooks) init(q *queue, messages bool) {
	h.wake = make(chan struct{}, 1)
	if h.messages = messages; messages {
		h.wake = q.ready
	}
	h.ended = make(chan struct{})
}

// isHook says whether ctx comes from a hook of this client.
func (c *Client) isHook(ctx context.Context) bool {
	other, _ := ctx.Value(hookKey{}).(*Client)
	return other == c
}

// notify makes the goroutine look, and begins it when it is not there.
func (c *Client) notify() {
	c.hooks.mu.Lock()
	c.rouse()
}

// rouse is notify for who holds hooks.mu, which it releases.
func (c *Client) rouse() {
	h := &c.hooks
	begin, asleep := !h.running, h.asleep
	h.running, h.leave, h.asleep = true, false, false
	if begin {
		h.up.Store(true)
	}
	h.mu.Unlock()
	if begin {
		go c.callHooks()
	} else if asleep {
		h.signal()
	}
}

func (h *hooks) signal() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// tellOutcomes hands outcomes over. The caller has counted them in pending.unheard.
func (c *Client) tellOutcomes(list ...told) {
	c.hooks.mu.Lock()
	c.hooks.outcomes = append(c.hooks.outcomes, list...)
	c.rouse()
}

// handOver gives the hooks what the reader has for them: the outcomes and messages of a
// read in one piece each, for which they are woken once.
func (c *Client) handOver() {
	if len(c.told) > 0 {
		c.expectPosts()
		c.tellOutcomes(c.told...)
		clear(c.told)
		c.told = c.told[:0]
	}
	q := &c.queue
	if len(q.fresh) > 0 {
		q.pour()
	}
	if q.untold && c.hooks.messages {
		c.expectPosts()
	}
	if q.tell() && c.hooks.messages && !c.hooks.up.Load() {
		c.notify()
	}
}

// postLook is how long what a hook has posted may wait for others, unless the hooks are
// through before.
const postLook = 2 * time.Millisecond

// expectPosts lets hooks that are about to be called post without waking the reader for
// each message: it looks by itself, and what they post until then goes out in few writes.
// A hook that is still at it later wakes the reader again.
func (c *Client) expectPosts() {
	if c.hooks.posts.Load() && c.due.look.IsZero() {
		c.due.look = c.link.now.Add(postLook)
		c.lazy.Store(true)
	}
}

// posted sees to it that what a hook has posted is written.
func (c *Client) posted() {
	h := &c.hooks
	if !h.posted.Load() {
		h.posts.Store(true)
		h.posted.Store(true)
	}
	if !c.lazy.Load() && !c.poked.Load() {
		c.poke()
	}
}

// writePosts writes what hooks have posted.
func (c *Client) writePosts() {
	if h := &c.hooks; h.posted.Load() {
		h.posted.Store(false)
		c.mu.Lock()
		c.flush()
		c.mu.Unlock()
	}
}

// tellReceipt hands a receipt over. When many wait, it takes the place of an older
// one of the same cursors, or of the oldest.
func (c *Client) tellReceipt(r Receipt) {
	if c.opts.handler.Receipt == nil {
		return
	}
	h := &c.hooks
	h.mu.Lock()
	if len(h.receipts) >= maxReceipts {
		i := slices.IndexFunc(h.receipts, func(have Receipt) bool {
			return have.Conversation == r.Conversation && have.User == r.User
		})
		if i >= 0 {
			r.Delivered, r.Read = max(r.Delivered, h.receipts[i].Delivered), max(r.Read, h.receipts[i].Read)
		}
		h.receipts = slices.Delete(h.receipts, max(i, 0), max(i, 0)+1)
	}
	h.receipts = append(h.receipts, r)
	c.rouse()
}

// tellEvent hands an event over, and logs it.
func (c *Client) tellEvent(e Event) {
	c.logEvent(e)
	if c.opts.handler.Event == nil {
		return
	}
	h := &c.hooks
	h.mu.Lock()
	if len(h.events) >= maxEvents {
		h.events = slices.Delete(h.events, 0, 1)
	}
	h.events = append(h.events, e)
	c.rouse()
}

func (c *Client) logEvent(e Event) {
	switch e.Kind {
	case EventConnected, EventCaughtUp:
		c.inform(e.Kind.String(), "address", e.Address, "user", c.User(), "device", c.device)
	case EventEnded:
		c.inform(e.Kind.String(), "reason", e.Err)
	case EventStoreFailed:
		c.warn(e.Kind.String(), "reason", e.Err)
	default:
		c.warn(e.Kind.String(), "address", e.Address, "reason", e.Err, "wait", e.Wait)
	}
}

// heedStore tells the app that the store has failed: an event for the first time, and a
// line in the log each second in which something could not be written. The caller
// holds no lock.
func (c *Client) heedStore() {
	switch err, first := c.journal.news(time.Now()); {
	case err == nil:
	case first:
		c.tellEvent(Event{Kind: EventStoreFailed, Err: err})
	default:
		c.warn(EventStoreFailed.String(), "reason", err)
	}
}

// endHooks says that nothing more comes.
func (c *Client) endHooks() {
	h := &c.hooks
	h.mu.Lock()
	h.last = true
	running := h.running
	h.mu.Unlock()
	if running {
		h.signal()
		return
	}
	h.cancel()
	close(h.ended)
}

// shrinkHooks ends the goroutine of a client that has been quiet.
func (c *Client) shrinkHooks() {
	h := &c.hooks
	h.mu.Lock()
	h.leave = true
	running := h.running
	h.mu.Unlock()
	if running {
		h.signal()
	}
}

// callHooks calls the hooks one after the other.
func (c *Client) callHooks() {
	h := &c.hooks
	var outcomes []told
	var receipts []Receipt
	var events []Event
	var run []queued
	me := goroutineID()
	h.runner.Store(me)
	defer h.runner.CompareAndSwap(me, 0) // the next one may have begun
	through := false
	defer func() {
		if !through { // by runtime.Goexit, as t.FailNow in a hook
			c.hooksLeft()
		}
	}()
	for {
		h.mu.Lock()
		h.asleep = false
		outcomes, h.outcomes = h.outcomes, outcomes[:0]
		receipts, h.receipts = h.receipts, receipts[:0]
		events, h.events = h.events, events[:0]
		last := h.last
		h.mu.Unlock()
		c.hearOutcomes(outcomes)
		for _, r := range receipts {
			c.opts.handler.Receipt(h.life, c, r)
		}
		for _, e := range events {
			c.opts.handler.Event(h.life, c, e)
		}
		clear(outcomes)
		clear(receipts)
		clear(events)
		heard := len(outcomes)+len(receipts)+len(events) > 0 || h.messages && c.hearMessages(&run)
		c.writePosts()
		if heard {
			continue
		}
		if last {
			through = true
			h.cancel()
			close(h.ended)
			return
		}
		h.mu.Lock()
		if h.leave && !h.last && len(h.outcomes)+len(h.receipts)+len(h.events) == 0 {
			// Who puts a message looks at up after it, so one of the two sees the other.
			h.up.Store(false)
			if !h.messages || c.queue.empty() {
				h.running, through = false, true
				h.mu.Unlock()
				return
			}
			h.up.Store(true)
		}
		if h.last || len(h.outcomes)+len(h.receipts)+len(h.events) > 0 {
			h.mu.Unlock()
			continue
		}
		h.asleep = true
		h.mu.Unlock()
		<-h.wake
	}
}

// errHookLeft is why a client ends of which a hook does not come back.
var errHookLeft = errors.New("gannet: a hook ended its goroutine (runtime.Goexit, t.FailNow)")

// hooksLeft ends the client: no hook can be called any more.
func (c *Client) hooksLeft() {
	c.mu.Lock()
	if c.err == nil {
		c.err = errHookLeft
	}
	c.mu.Unlock()
	c.end(errHookLeft)
	c.hooks.cancel()
	close(c.hooks.ended)
}

// hearOutcomes tells outcomes, and then makes room for as many.
func (c *Client) hearOutcomes(outcomes []told) {
	if len(outcomes) == 0 {
		return
	}
	for _, o := range outcomes {
		c.opts.handler.Outcome(c.hooks.life, c, o.Outcome)
		if o.kept {
			c.journal.forget(o.ID)
		}
	}
	c.heedStore()
	c.mu.Lock()
	c.out.unheard -= len(outcomes)
	c.out.grant()
	c.mu.Unlock()
}
