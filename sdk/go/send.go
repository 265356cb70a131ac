package gannet

import (
	"context"
	"fmt"
	"sync"
	"time"

	"gannet/protocol"
)

// Send sends a message and waits until it is durable on the server, however
// many connections that takes. It waits for room in the window first. When ctx
// ends while the message is on its way the message stays on its way, and its
// outcome goes to Handler.Outcome; an app that must know sets Draft.ID or uses
// Post.
//
// The error is an *Error when the server refused the message for good. It wraps
// ErrClosed, ErrWindow, ErrID or ErrStore when the message was not taken,
// ErrUncertain when nobody knows whether the Store keeps it, ErrKept or ErrAbandoned
// when the client closed before the ack, and ErrDropped when it ended before a login.
func (c *Client) Send(ctx context.Context, to Target, d Draft) (Ack, error) {
	call := calls.Get().(*call)
	if _, err := c.take(ctx, to, d, outgoing{call: call}, false); err != nil {
		calls.Put(call)
		c.heedStore()
		return Ack{}, err
	}
	r, err := outcomeOr(ctx, call.result)
	if err != nil {
		return Ack{}, err // the call is still going to be answered: not reused
	}
	calls.Put(call)
	return r.ack, r.err
}

// outcomeOr waits for an outcome until ctx ends. One that is there goes before the end
// of ctx: of both at once the outcome is what the app must hear.
func outcomeOr[T any](ctx context.Context, outcome <-chan T) (T, error) {
	select {
	case v := <-outcome:
		return v, nil
	case <-ctx.Done():
	}
	select {
	case v := <-outcome:
		return v, nil
	default:
		var none T
		return none, ctx.Err()
	}
}

// Post takes a message and returns at once with a handle on it: the client sends
// it, also when it is not connected at the moment. Post waits until ctx ends for
// room in the window, and with a Store until the message is on disk. Its errors are
// those of Send that say that the message was not taken, and ErrUncertain.
func (c *Client) Post(ctx context.Context, to Target, d Draft) (*Sending, error) {
	s := &Sending{client: c}
	hook := c.isHook(ctx)
	id, err := c.take(ctx, to, d, outgoing{sending: s}, hook)
	if err != nil {
		c.heedStore()
		return nil, err
	}
	s.id = id
	if hook {
		c.posted()
	}
	return s, nil
}

// Sending is a message that was taken by Post.
type Sending struct {
	client *Client
	id     uint64

	// Under Client.mu.
	settled bool
	ack     Ack
	err     error
	done    chan struct{} // made when somebody asks for it
}

// ID gives the id under which the message is sent and its outcome is told.
func (s *Sending) ID() uint64 { return s.id }

// Done is closed when the outcome is known.
func (s *Sending) Done() <-chan struct{} {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if s.done == nil {
		s.done = make(chan struct{})
		if s.settled {
			close(s.done)
		}
	}
	return s.done
}

// Wait gives the outcome, as Send does, or the error of ctx when that ends first.
// It may be called any number of times, and gives an outcome that is known also when
// ctx has ended.
func (s *Sending) Wait(ctx context.Context) (Ack, error) {
	if _, err := outcomeOr(ctx, s.Done()); err != nil {
		return Ack{}, err
	}
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	return s.ack, s.err
}

// call is a caller of Send who waits.
type call struct{ result chan result }

type result struct {
	ack Ack
	err error
}

var calls = sync.Pool{New: func() any { return &call{result: make(chan result, 1)} }}

// settle tells who sent a message what became of it. The caller holds mu.
func (e *outgoing) settle(ack Ack, err error) {
	if e.call != nil {
		e.call.result <- result{ack, err}
	}
	if s := e.sending; s != nil {
		s.settled, s.ack, s.err = true, ack, err
		if s.done != nil {
			close(s.done)
		}
	}
}

// reserve waits for room in the window.
func (c *Client) reserve(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	if c.closing {
		defer c.mu.Unlock()
		return c.refusal()
	}
	w := waiter{room: make(chan struct{}), hook: c.isHook(ctx)}
	c.out.waiters = append(c.out.waiters, w)
	c.out.grant()
	c.mu.Unlock()
	var err error
	select {
	case <-w.room:
		return nil
	case <-ctx.Done():
		err = fmt.Errorf("%w: %w", ErrWindow, ctx.Err())
	case <-c.quit:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.leave(w.room)
	if err == nil {
		err = c.refusal()
	}
	return err
}

// take makes a message pending, puts it on disk if there is a store, and on the
// wire if there is a connection; later leaves the last to posted.
func (c *Client) take(ctx context.Context, to Target, d Draft, e outgoing, later bool) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	o := &c.out
	if !c.closing && !o.room(false) {
		c.mu.Unlock()
		err := c.reserve(ctx)
		c.mu.Lock()
		if err != nil {
			return 0, err
		}
		o.reserved--
	}
	id, err := c.mayTake(to, d)
	if err == nil && c.journal.store != nil {
		err = c.journal.take(record{kind: recordTaken, id: id, target: to, draft: d})
	}
	if err != nil {
		o.grant()
		return 0, err
	}
	e.id, e.target, e.draft = id, to, d
	o.add(e)
	if c.journal.store == nil {
		o.stable = id
		c.pump(!later)
		return id, nil
	}
	c.mu.Unlock()
	err = c.journal.sync()
	c.mu.Lock()
	switch {
	case id <= o.stable: // on disk with a later one, and settled if the client has ended
		return id, nil
	case err != nil:
		if i := o.find(id); i >= 0 {
			o.remove(i)
		}
		return 0, fmt.Errorf("%w: message %d: %w", ErrUncertain, id, err)
	case c.fate != nil: // the client has ended and left the message to who takes it
		e.settle(Ack{}, c.fate)
		return id, nil
	}
	o.stable = id
	c.pump(!later)
	return id, nil
}

// mayTake gives the id of a message, or says why it is not taken. The caller holds
// mu and no reservation any more.
func (c *Client) mayTake(to Target, d Draft) (uint64, error) {
	switch {
	case c.closing:
		return 0, c.refusal()
	case len(d.Body) > protocol.MaxBody:
		return 0, &Error{Code: CodeBodyTooLarge}
	case to.Kind != KindDirect && to.Kind != KindGroup || to.ID == 0:
		return 0, &Error{Code: CodeBadTarget, Text: to.String() + " cannot be written to"}
	case d.ID > MaxID:
		return 0, fmt.Errorf("%w: %d is above MaxID", ErrID, d.ID)
	case d.ID != 0 && d.ID <= c.out.lastID:
		return 0, fmt.Errorf("%w: %d follows %d", ErrID, d.ID, c.out.lastID)
	case d.ID != 0:
		return d.ID, nil
	}
	return max(c.out.lastID, c.out.clock) + 1, nil
}

// pump sends what may go out, now or when posted is called: what hooks post one after the
// other goes out in few writes. The caller holds mu.
func (c *Client) pump(now bool) {
	if c.wire.conn == nil {
		return
	}
	c.wire.pending = c.out.encode(c.wire.pending, &c.numbers)
	if now {
		c.flush()
	}
}

// maxAcked is how many SENDACKs are settled at once: a few, so that nobody waits long for mu.
const maxAcked = 64

// sendAcked takes a SENDACK, which settleAcks settles with those next to it.
func (c *Client) sendAcked(payload []byte) error {
	var m protocol.SendAck
	if err := m.Decode(payload); err != nil {
		return err
	}
	if c.acks = append(c.acks, m); len(c.acks) >= maxAcked {
		c.settleAcks()
	}
	return nil
}

// settleAcks ends the messages whose SENDACKs have come one after the other.
func (c *Client) settleAcks() {
	if len(c.acks) == 0 {
		return
	}
	first := len(c.told)
	c.mu.Lock()
	for _, m := range c.acks {
		i := c.out.find(m.ClientID)
		if i < 0 { // the answer to a first try after that to its retry
			continue
		}
		c.out.attempts = 0
		o := c.settle(i, Ack{ID: m.ClientID, Seq: m.Seq, Time: milliseconds(m.Time)}, nil)
		c.told = append(c.told, told{o, true})
	}
	if c.out.next < len(c.out.entries) {
		c.pump(true)
	}
	c.mu.Unlock()
	c.acks = c.acks[:0]
	c.ownAll(c.told[first:])
	c.settled(first)
}

// settle ends the message at i and tells who sent it. The caller holds mu, and adds the
// outcome to told for settled, which it calls without mu.
func (c *Client) settle(i int, ack Ack, err error) Outcome {
	c.out.answered = c.link.now
	e := c.out.remove(i)
	e.settle(ack, err)
	c.wakeFlushes()
	if c.opts.handler.Outcome != nil {
		c.out.unheard++
	}
	return Outcome{ID: e.id, To: e.target, Ack: ack, Err: err}
}

// settled remembers the outcomes in told from first on until their hook has heard them, or
// forgets the messages when there is none. A store that fails costs a retry after a
// restart, which the server recognises.
func (c *Client) settled(first int) {
	heard := c.opts.handler.Outcome != nil
	if c.journal.store != nil {
		records := make([]record, 0, len(c.told)-first)
		for i := range c.told[first:] {
			if o := &c.told[first+i].Outcome; heard {
				records = append(records, settled(*o))
			} else {
				records = append(records, record{kind: recordForgot, id: o.ID})
			}
		}
		c.journal.append(records...)
	}
	if !heard {
		clear(c.told[first:])
		c.told = c.told[:first]
	}
}

// sendFailed handles an ERROR that answers a SEND; it says whether it did.
func (c *Client) sendFailed(request uint32, failure *Error) bool {
	c.mu.Lock()
	i := c.out.findRequest(request)
	if i < 0 {
		c.mu.Unlock()
		return false
	}
	if failure.Code.action() != protocol.ActionRetry {
		o := c.settle(i, Ack{}, failure)
		c.mu.Unlock()
		c.told = append(c.told, told{o, true})
		c.settled(len(c.told) - 1)
		return true
	}
	// Later messages wait with it, so that they do not pass it.
	c.out.answered = c.link.now
	c.out.hold(i)
	began := c.out.retryAt.IsZero()
	if began || c.out.attempts == 0 {
		c.out.attempts++
	}
	at := c.link.now.Add(retryDelay(c.out.attempts, failure.RetryAfter))
	if at.After(c.out.retryAt) {
		c.out.retryAt = at
	}
	c.due.send = c.out.retryAt
	c.mu.Unlock()
	if began {
		c.tellEvent(Event{Kind: EventHeld, Address: c.link.address, Err: failure, Wait: at.Sub(c.link.now)})
	}
	return true
}

// resend ends the wait of a retry.
func (c *Client) resend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.due.send = time.Time{}
	c.out.retryAt = time.Time{}
	c.pump(true)
}
