package gannet

import (
	"slices"
	"time"

	"gannet/protocol"
)

const (
	// maxFetches is how many HISTORY requests are under way at once: enough to
	// hide the way to the server, little beside what it allows.
	maxFetches = 4

	// emptyPageDelay is the pause before history is asked again that did not yet
	// have what was pushed.
	emptyPageDelay = time.Second

	// fetchLimit is the page asked for: what fits a queue that has room again.
	fetchLimit = maxQueue / 2
)

// syncing is the SYNC under way.
type syncing struct {
	since    uint64 // everything before it is received
	next     uint64 // since, when all that this sync named is received
	first    bool   // the page asked for is the first one
	after    Target
	request  uint32 // 0: none is under way
	asked    time.Time
	again    bool // another one is wanted after it
	complete bool // one has completed, so unknown conversations are new
	pending  bool // next is to become since
	retries  int
	retryAt  time.Time
}

// startSync asks what changed, or does so again after the sync under way.
func (c *Client) startSync() {
	s := &c.inbox.sync
	if s.request != 0 || !s.retryAt.IsZero() {
		s.again = true
		return
	}
	s.after, s.first, s.again, s.pending = Target{}, true, false, false
	c.askSync()
}

func (c *Client) askSync() {
	s := &c.inbox.sync
	s.retryAt, s.asked = time.Time{}, c.link.now
	c.mu.Lock()
	defer c.mu.Unlock()
	s.request = c.numbers.next()
	c.wire.pending = protocol.Sync{Since: s.since, After: s.after.wire()}.AppendFrame(c.wire.pending, s.request)
}

// synced handles a page of the sync.
func (c *Client) synced(payload []byte) error {
	var page protocol.Synced
	if err := page.Decode(payload); err != nil {
		return err
	}
	s := &c.inbox.sync
	s.request, s.retries = 0, 0
	if s.first {
		s.first, s.next = false, page.Next
	}
	for state := range page.States() {
		v := c.inbox.lookup(targetOf(state.Target))
		if v.next == 0 {
			c.start(v, c.known(&state))
		}
		v.goal = max(v.goal, state.Head)
		if state.Acked < v.received {
			c.mark(v, true) // a PUSHACK was lost with its connection
		}
		c.advance(v)
	}
	switch {
	case page.More:
		s.after = targetOf(page.After)
		c.askSync()
		return nil
	case !s.complete:
		c.open()
	}
	s.pending = true
	if s.again {
		c.startSync()
	}
	return nil
}

// known gives up to where a conversation counts as received that this client
// knows nothing of: what its device has acked. A device that was made for this
// client alone has acked nothing; it goes on after the user's other devices.
func (c *Client) known(state *protocol.State) uint64 {
	if c.passing {
		return max(state.Acked, state.Delivered)
	}
	return state.Acked
}

// start begins a conversation of which this client knows nothing: after seq, or
// with what was pushed to this device.
func (c *Client) start(v *conversation, seq uint64) {
	v.next = seq + 1
	if len(v.stash) > 0 {
		v.next = min(v.next, v.stash[0].first)
	}
	v.received = c.queue.reached(v, v.next-1)
	c.mark(v, false)
}

// open ends the first sync: what it did not name is new.
func (c *Client) open() {
	c.inbox.sync.complete = true
	for _, v := range c.inbox.conversations {
		if v.next == 0 {
			v.next = 1
			c.advance(v)
		}
	}
}

// moveOn moves the position of the sync once all that it named is received and
// stored.
func (c *Client) moveOn() {
	in := &c.inbox
	s := &in.sync
	if !s.pending || s.request != 0 || !in.fetches.none() || len(in.lagging)+len(in.refused) > 0 || !c.queue.idle() {
		return
	}
	s.pending, s.since = false, s.next
	c.journal.append(record{kind: recordPosition, id: s.since})
	if in.behind {
		in.behind = false
		c.tellEvent(Event{Kind: EventCaughtUp, Address: c.link.address})
	}
}

func (c *Client) syncFailed(e *Error) error {
	s := &c.inbox.sync
	s.request = 0
	if e.Code.action() != protocol.ActionRetry {
		return e // without sync nothing can be promised
	}
	s.retries++
	s.retryAt = c.link.now.Add(retryDelay(s.retries, e.RetryAfter))
	soonest(&c.due.fetch, s.retryAt)
	return nil
}

// fetches are the HISTORY requests that fill gaps, oldest wish first.
type fetches struct {
	wanted []*conversation
	active []*conversation
	later  []*conversation // failed, to be wanted again
	hold   time.Time       // none is asked before it: the server limits how many are
}

func (f *fetches) none() bool { return len(f.wanted)+len(f.active)+len(f.later) == 0 }

func (f *fetches) hangUp() {
	for _, list := range [...][]*conversation{f.wanted, f.active, f.later} {
		for _, v := range list {
			v.fetching, v.request, v.retries = false, 0, 0
		}
	}
	*f = fetches{}
}

// fetched gives the conversation whose HISTORY a request is, or nil.
func (in *inbox) fetched(request uint32) *conversation {
	for _, v := range in.fetches.active {
		if v.request == request {
			return v
		}
	}
	return nil
}

// unanswered says whether a request of the inbox has waited too long.
func (in *inbox) unanswered(now time.Time) bool {
	if in.sync.request != 0 && now.Sub(in.sync.asked) >= answerTimeout {
		return true
	}
	for _, v := range in.fetches.active {
		if now.Sub(v.asked) >= answerTimeout {
			return true
		}
	}
	return false
}

// fetch gets the messages from v.next to v.goal.
func (c *Client) fetch(v *conversation) {
	v.waiting, v.fetching = false, true
	c.inbox.fetches.wanted = append(c.inbox.fetches.wanted, v)
	c.startFetches()
}

func (c *Client) startFetches() {
	f := &c.inbox.fetches
	if len(f.wanted) == 0 || len(f.active) >= maxFetches {
		return
	}
	if c.link.now.Before(f.hold) {
		soonest(&c.due.fetch, f.hold)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(f.wanted) > 0 && len(f.active) < maxFetches {
		v := f.wanted[0]
		f.wanted[0] = nil
		f.wanted = f.wanted[1:]
		f.active = append(f.active, v)
		v.request, v.asked, v.from = c.numbers.next(), c.link.now, v.next
		c.wire.pending = protocol.History{Target: v.target.wire(), Seq: v.next, Limit: fetchLimit}.AppendFrame(c.wire.pending, v.request)
	}
}

// endFetch takes the answered request of v out.
func (c *Client) endFetch(v *conversation) {
	f := &c.inbox.fetches
	i := slices.Index(f.active, v)
	f.active = slices.Delete(f.active, i, i+1)
	v.fetching, v.request = false, 0
}

// page handles a page of history that fills a gap. What is not in its range
// below the first message does not exist for this user.
func (c *Client) page(v *conversation, payload []byte) error {
	var page protocol.Messages
	if err := page.Decode(payload); err != nil {
		return err
	}
	c.endFetch(v)
	if v.next < v.from || !v.until.IsZero() { // the app refused what came before it
		v.goal = max(v.goal, page.Head)
		c.advance(v)
		c.startFetches()
		return nil
	}
	before := v.next
	for m := range page.All() {
		if m.Seq < v.next {
			continue
		}
		if !c.deliver(v, &m) {
			break
		}
	}
	if !v.lagging && page.First <= page.Last {
		v.next = max(v.next, page.Last+1)
	}
	if v.next != before {
		c.received(v, true)
	}
	v.goal = max(v.goal, page.Head)
	if page.First > page.Last && v.next == before && !v.lagging {
		// A hint or a sync may have promised more than there is; a push cannot.
		v.goal = page.Head
		if v.next <= v.goal || len(v.stash) > 0 {
			c.fetchLater(v, emptyPageDelay)
			c.startFetches()
			return nil
		}
	}
	v.retries = 0
	c.advance(v)
	c.startFetches()
	return nil
}

// fetchFailed handles an ERROR that answers HISTORY. When there is no access
// what is missing does not exist for this user.
func (c *Client) fetchFailed(v *conversation, e *Error) {
	c.endFetch(v)
	if e.Code.action() == protocol.ActionRetry {
		v.retries++
		delay := retryDelay(v.retries, e.RetryAfter)
		if e.Code == CodeRateLimited {
			if until := c.link.now.Add(delay); until.After(c.inbox.fetches.hold) {
				c.inbox.fetches.hold = until
			}
		}
		c.fetchLater(v, delay)
	} else {
		v.next = max(v.next, v.goal+1)
		if len(v.stash) > 0 {
			v.next = min(v.next, v.stash[0].first)
		}
		v.goal = v.next - 1
		c.received(v, false)
		c.advance(v)
	}
	c.startFetches()
}

func (c *Client) fetchLater(v *conversation, delay time.Duration) {
	v.fetching = true
	v.retryAt = c.link.now.Add(delay)
	c.inbox.fetches.later = append(c.inbox.fetches.later, v)
	soonest(&c.due.fetch, v.retryAt)
}

// repeatFetches repeats the HISTORY and SYNC requests whose retry is due.
func (c *Client) repeatFetches() {
	c.due.fetch = time.Time{}
	s, f := &c.inbox.sync, &c.inbox.fetches
	if !s.retryAt.IsZero() {
		if c.link.now.Before(s.retryAt) {
			soonest(&c.due.fetch, s.retryAt)
		} else {
			c.askSync()
		}
	}
	later := f.later
	f.later = nil
	for _, v := range later {
		if c.link.now.Before(v.retryAt) {
			f.later = append(f.later, v)
			soonest(&c.due.fetch, v.retryAt)
		} else {
			f.wanted = append(f.wanted, v)
		}
	}
	c.startFetches()
}
