package gannet

import (
	"context"
	"sync"
	"time"

	"gannet/protocol"
)

// Send sends a message and waits until it is durable on the server, however
// many connections that takes. It waits for room in the window first. When ctx
// ends while the message is on its way the message stays on its way.
func (c *Client) Send(ctx context.Context, to Target, d Draft) (Ack, error) {
	if err := c.reserve(ctx); err != nil {
		return Ack{}, err
	}
	call := calls.Get().(*call)
	if err := c.take(to, d, call.done, true); err != nil {
		calls.Put(call)
		return Ack{}, err
	}
	select {
	case r := <-call.result:
		calls.Put(call)
		return r.ack, r.err
	case <-ctx.Done():
		return Ack{}, ctx.Err() // the call is still going to be answered: not reused
	}
}

// SendFunc sends a message and returns at once; done, which may be nil, is
// called with the outcome on the goroutine that reads the connection, under the
// rules of Handler. With a Store it first waits until the message is on disk.
// It fails with ErrWindow when the window is full and with ErrClosed after
// Close; then done is not called.
func (c *Client) SendFunc(to Target, d Draft, done func(Ack, error)) error {
	return c.take(to, d, done, false)
}

// call is a caller of Send who waits.
type call struct {
	result chan outcome
	done   func(Ack, error)
}

type outcome struct {
	ack Ack
	err error
}

var calls = sync.Pool{New: func() any {
	c := &call{result: make(chan outcome, 1)}
	c.done = func(a Ack, err error) { c.result <- outcome{a, err} }
	return c
}}

// reserve waits for room in the window.
func (c *Client) reserve(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	if c.closing || c.out.room() {
		c.out.reserved++
		c.mu.Unlock()
		return nil
	}
	w := make(chan struct{})
	c.out.waiters = append(c.out.waiters, w)
	c.mu.Unlock()
	var err error
	select {
	case <-w:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-c.quit:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.leave(w)
	if err == nil {
		err = c.refusal()
	}
	return err
}

// take makes a message pending and puts it on disk if there is a store, and on the
// wire if there is a connection.
func (c *Client) take(to Target, d Draft, done func(Ack, error), reserved bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := &c.out
	if reserved {
		o.reserved--
	}
	if err := c.mayTake(d); err != nil {
		o.grant()
		return err
	}
	id := o.lastID + 1
	if c.opts.store == nil {
		o.add(outgoing{id: id, target: to, draft: d, done: done})
		o.stable = id
		c.pump()
		return nil
	}
	if err := c.opts.store.AddOutgoing(Outgoing{ClientID: id, Target: to, Draft: d}); err != nil {
		o.grant()
		return err
	}
	o.add(outgoing{id: id, target: to, draft: d, done: done})
	c.mu.Unlock()
	err := c.opts.store.Sync()
	c.mu.Lock()
	if err != nil {
		// The message may have gone out with a later one whose Sync succeeded,
		// or been answered already: then it counts as taken.
		if i := o.find(id); i >= 0 && o.entries[i].state == held && id > o.stable {
			o.remove(i)
			return err
		}
		return nil
	}
	o.stable = max(o.stable, id)
	c.pump()
	return nil
}

// mayTake says why a message is not taken, nil when it is. The caller holds mu
// and no reservation any more.
func (c *Client) mayTake(d Draft) error {
	switch {
	case c.closing:
		return c.refusal()
	case len(d.Body) > protocol.MaxBody:
		return &Error{Code: protocol.CodeBodyTooLarge}
	case !c.out.room():
		return ErrWindow
	}
	return nil
}

// pump sends what may go out. The caller holds mu.
func (c *Client) pump() {
	if c.wire.conn == nil {
		return
	}
	c.wire.pending = c.out.encode(c.wire.pending, &c.numbers)
	c.flush()
}

// sendAcked handles SENDACK.
func (c *Client) sendAcked(payload []byte) error {
	var m protocol.SendAck
	if err := m.Decode(payload); err != nil {
		return err
	}
	c.mu.Lock()
	i := c.out.find(m.ClientID)
	if i < 0 { // the answer to a first try after that to its retry
		c.mu.Unlock()
		return nil
	}
	e := c.out.remove(i)
	c.out.attempts = 0
	c.out.answered = c.link.now
	if c.out.next < len(c.out.entries) {
		c.pump()
	}
	c.mu.Unlock()
	c.forget(e.id)
	c.own(e.target, m.Seq)
	if e.done != nil {
		e.done(Ack{ClientID: e.id, Seq: m.Seq, Time: milliseconds(m.Time)}, nil)
	}
	return nil
}

// sendFailed handles an ERROR that answers a SEND; it says whether it did.
func (c *Client) sendFailed(request uint32, failure *Error) bool {
	c.mu.Lock()
	i := c.out.findRequest(request)
	if i < 0 {
		c.mu.Unlock()
		return false
	}
	c.out.answered = c.link.now
	if failure.Code.Action() == protocol.ActionRetry {
		// Later messages wait with it, so that they do not pass it.
		c.out.hold(i)
		began := c.out.retryAt.IsZero()
		if c.out.retryAt.IsZero() || c.out.attempts == 0 {
			c.out.attempts++
		}
		at := c.link.now.Add(retryDelay(c.out.attempts, failure.RetryAfter))
		if at.After(c.out.retryAt) {
			c.out.retryAt = at
		}
		c.due.send = c.out.retryAt
		c.mu.Unlock()
		if hook := c.opts.handler.Refused; hook != nil && began {
			hook(failure)
		}
		return true
	}
	e := c.out.remove(i)
	c.mu.Unlock()
	c.forget(e.id)
	if e.done != nil {
		e.done(Ack{}, failure)
	}
	return true
}

// resend ends the wait of a retry.
func (c *Client) resend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.due.send = time.Time{}
	c.out.retryAt = time.Time{}
	c.pump()
}

// forget takes an answered message out of the store. A failure costs a retry
// after a restart, which the server recognises.
func (c *Client) forget(id uint64) {
	if c.opts.store != nil {
		c.opts.store.RemoveOutgoing(id)
	}
}

func milliseconds(t uint64) time.Time { return time.UnixMilli(int64(t)) }
