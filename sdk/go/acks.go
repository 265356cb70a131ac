package gannet

import (
	"math/rand/v2"
	"slices"
	"time"

	"gannet/protocol"
)

// PUSHACKs go at most every ackPause, so that a busy conversation is not acked
// message by message; then they go with the next write, or alone if there is
// none for as long again. After a silence they go alone ackDelay after the
// message, which a person does not notice. Each pause is drawn anew from around
// ackPause, so that clients who began together do not ack together for ever. The
// server waits protocol.PushAckTimeout.
const (
	ackDelay = 20 * time.Millisecond
	ackPause = 250 * time.Millisecond

	// maxAcks is how many conversations are acked at once; the others follow with the
	// next ones, so that a client that was away for long stays within what the server
	// lets a connection send.
	maxAcks = 256
)

// ackBy gives the time at which what has been received now is acked at the
// latest.
func (c *Client) ackBy() time.Time {
	by := c.link.now.Add(ackDelay)
	if paused := c.link.acked.Add(2 * c.link.pause); paused.After(by) {
		return paused
	}
	return by
}

// received notes that a conversation has advanced, or that the server pushed again
// what this device has. owed says that the server waits for a PUSHACK. What is in
// the queue counts once the app has taken it; collect hears of that.
func (c *Client) received(v *conversation, owed bool) {
	before := v.received
	v.received = c.queue.reached(v, v.next-1)
	if v.received != before || owed && v.received == v.next-1 {
		c.mark(v, owed)
	}
}

// mark plans a PUSHACK, if one is owed, and storing the cursor, if there is a
// store.
func (c *Client) mark(v *conversation, owed bool) {
	v.owed = v.owed || owed
	if !v.dirty && (v.owed || c.opts.store != nil) {
		v.dirty = true
		c.inbox.unacked = append(c.inbox.unacked, v)
	}
}

// collect notes what the app has received.
func (c *Client) collect() {
	for _, v := range c.queue.collect() {
		c.mark(v, true)
	}
}

// uncork ends a turn of the reader: everything that came of it goes out in one
// write, with the PUSHACKs if it is time for them.
func (c *Client) uncork() error {
	due := !c.due.ack.IsZero() && !c.link.now.Before(c.due.ack)
	c.mu.Lock()
	drained := c.mayEnd()
	along := len(c.wire.pending) > 0 && c.link.now.Sub(c.link.acked) >= c.link.pause
	if drained || due || along {
		c.due.ack = time.Time{}
		c.collect()
		c.ack(drained)
	}
	c.flush()
	c.mu.Unlock()
	c.heedStore()
	if drained {
		return errDrained
	}
	if len(c.inbox.unacked) > 0 {
		soonest(&c.due.ack, c.ackBy())
		return nil
	}
	c.moveOn()
	return nil
}

// ack sends the PUSHACKs and stores the cursors that are planned, at most maxAcks of
// them unless all are asked for. The caller holds mu.
func (c *Client) ack(all bool) {
	in := &c.inbox
	if len(in.unacked) == 0 {
		return
	}
	c.link.acked = c.link.now
	c.link.pause = ackPause/2 + rand.N(ackPause)
	in.acked, in.records = in.acked[:0], in.records[:0]
	n := len(in.unacked)
	if !all {
		n = min(n, maxAcks)
	}
	for _, v := range in.unacked[:n] {
		if v.owed && v.received > 0 {
			c.wire.pending = protocol.Cursor{Target: v.target.wire(), Seq: v.received}.AppendPushAck(c.wire.pending, 0)
			in.acked = append(in.acked, v)
		}
		if c.opts.store != nil {
			in.records = append(in.records, record{kind: recordReceived, target: v.target, seq: v.received})
		}
		v.dirty, v.owed = false, false
	}
	in.unacked = slices.Delete(in.unacked, 0, n)
	c.journal.append(in.records...)
}

// acksFailed plans the last PUSHACKs anew when the server could not take one of
// them; it does not say which.
func (c *Client) acksFailed(e *Error) {
	if e.Code.action() != protocol.ActionRetry {
		return
	}
	c.repeatAcks()
	c.due.ack = c.link.now.Add(retryDelay(1, max(e.RetryAfter, ackDelay)))
}

// repeatAcks plans the last PUSHACKs anew.
func (c *Client) repeatAcks() {
	for _, v := range c.inbox.acked {
		c.mark(v, true)
	}
	c.inbox.acked = c.inbox.acked[:0]
}
