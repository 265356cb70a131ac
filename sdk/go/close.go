package gannet

import (
	"context"
	"errors"
	"fmt"
)

// Close takes nothing more, and waits until ctx ends for what was taken: messages
// until they are acked, read marks until they are durable, outcomes until their
// hook has heard them, and the hook or the body of a loop over Messages that is
// running, whose message counts as received. Then it ends everything. When
// ctx ends it waits for nothing more, not even for a hook: what that is at comes again. It
// returns nil when all messages were acked, otherwise why not; a second Close returns the
// same.
//
// A hook and the body of a loop may call Close, also with a context of their own: it
// waits for none of them then, and the message at hand does not count as received
// unless the server knows it already. A goroutine that a hook or a body waits for may
// not, because each would wait for the other until ctx ends; and a loop that iter.Pull
// runs is stopped first, for its body is nobody that Close could know.
func (c *Client) Close(ctx context.Context) error {
	me := goroutineID()
	inHook := c.isHook(ctx) || me != 0 && c.hooks.runner.Load() == me
	hasty := inHook || c.queue.loops(me)
	c.mu.Lock()
	c.hasty = c.hasty || hasty
	c.stopTaking()
	begun := c.started
	c.started = true
	c.mu.Unlock()
	if !begun {
		c.finish(errDrained)
	}
	c.poke()
	through := c.hooks.ended
	if inHook {
		through = c.ended
	}
	select {
	case <-through:
	case <-ctx.Done():
		c.end(ctx.Err())
		c.hooks.cancel()
	}
	<-c.ended
	c.release()
	return c.closeErr
}

// release lets the next client have the store. A hook or body that goes on writes nothing
// to it.
func (c *Client) release() {
	c.journal.leave()
	if s, ok := c.opts.store.(*FileStore); ok {
		s.leave(c)
	}
}

// stopTaking refuses new messages and requests from now on. The caller holds mu.
func (c *Client) stopTaking() {
	if !c.closing {
		c.closing = true
		close(c.quit)
	}
}

// refusal is what a closed client answers. The caller holds mu.
func (c *Client) refusal() error {
	return closedBy(c.err)
}

// finish ends the client for good: everybody who waits is told why. It is the
// last that the reader does.
func (c *Client) finish(why error) {
	c.mu.Lock()
	c.stopTaking()
	if c.err == nil && !errors.Is(why, errDrained) && c.life.Err() == nil {
		c.err = why
	}
	stopped := c.err
	if c.life.Err() != nil {
		why = context.Cause(c.life)
	}
	fate := ErrAbandoned
	if c.journal.store != nil {
		fate = ErrKept
	}
	var owner *OwnerError
	dropped := c.journal.unclaim(errors.As(stopped, &owner))
	if dropped {
		fate = ErrDropped
	}
	if stopped != nil {
		fate = fmt.Errorf("%w: %w", fate, stopped)
	}
	left := c.out.abandon()
	if len(left) > 0 {
		if errors.Is(why, errDrained) { // there was nobody to drain it
			why = errNeverConnected
		}
		c.closeErr = fmt.Errorf("gannet: closed with %d messages not acked: %w", len(left), why)
	}
	c.fate = fate
	for i := range left {
		if left[i].id <= c.out.stable { // the others wait for the disk; see take
			left[i].settle(Ack{}, fate)
		}
	}
	requests := c.requests
	c.requests = nil
	c.state.Store(int32(StateClosed))
	for _, f := range c.flushes {
		f.done <- closedBy(stopped)
	}
	c.flushes = nil
	c.mu.Unlock()

	c.end(ErrClosed)
	if dropped {
		c.journal.sync() // else they are dropped by the next login
	}
	if c.opts.handler.Outcome != nil && (c.journal.store == nil || dropped) {
		for _, e := range left {
			if e.id > c.out.born { // the others are still in the store
				c.tellOutcomes(told{Outcome{ID: e.id, To: e.target, Err: fate}, false})
			}
		}
	}
	for _, r := range requests {
		r.reply <- answer{err: closedBy(stopped)}
	}
	c.tellEvent(Event{Kind: EventEnded, Err: stopped})
	c.endHooks()
	close(c.ended)
}

var errNeverConnected = errors.New("gannet: the client was never connected")

// closedBy is what a client answers that is closed or has stopped for a reason.
func closedBy(stopped error) error {
	if stopped != nil {
		return fmt.Errorf("%w: %w", ErrClosed, stopped)
	}
	return ErrClosed
}
