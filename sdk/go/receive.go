package gannet

import (
	"time"

	"gannet/protocol"
)

// gapWait is how long a gap may wait for what is on its way: acks of this
// device's own messages, which come by another path than pushes, or pushes that
// such an ack has overtaken.
const gapWait = time.Second

// pushed handles PUSH.
func (c *Client) pushed(payload []byte) error {
	var m protocol.Message
	if err := m.Decode(payload); err != nil {
		return err
	}
	v := c.inbox.lookup(c.address(m.Target, m.Sender))
	switch {
	case v.next == 0 || m.Seq > v.next && !v.lagging:
		c.early(v, early{
			first: m.Seq, last: m.Seq, deliver: !c.mine(&m),
			message: c.message(v.target, &m, c.keep(m.Body)),
		})
	case m.Seq < v.next:
		c.received(v, true) // the server missed a PUSHACK
	case v.lagging:
		v.goal = max(v.goal, m.Seq)
	case c.deliver(v, &m):
		if c.mine(&m) { // else it counts once the app has it
			c.received(v, true)
		}
		if len(v.stash) > 0 || v.waiting {
			c.advance(v)
		}
	}
	return nil
}

// ownAll is own for many: a conversation that they make go on is noted once.
func (c *Client) ownAll(acked []told) {
	var going *conversation
	for i := range acked {
		o := &acked[i].Outcome
		v := c.inbox.lookup(o.To)
		straight := o.Ack.Seq == v.next && !v.lagging && len(v.stash) == 0 && !v.waiting
		if going != nil && (going != v || !straight) {
			c.received(going, false)
			going = nil
		}
		if straight {
			v.next++
			going = v
		} else {
			c.own(o.To, o.Ack.Seq)
		}
	}
	if going != nil {
		c.received(going, false)
	}
}

// own handles the ack of one of this device's own messages: its seq counts as
// received.
func (c *Client) own(target Target, seq uint64) {
	v := c.inbox.lookup(target)
	switch {
	case v.next == 0 || seq > v.next && !v.lagging:
		c.early(v, early{first: seq, last: seq})
	case seq < v.next:
	case v.lagging:
		v.goal = max(v.goal, seq)
	default:
		v.next++
		c.received(v, false)
		if len(v.stash) > 0 || v.waiting {
			c.advance(v)
		}
	}
}

// holed handles HOLE.
func (c *Client) holed(payload []byte) error {
	var m protocol.Range
	if err := m.Decode(payload); err != nil {
		return err
	}
	v := c.inbox.lookup(targetOf(m.Target))
	if m.Last < v.next || m.Last < m.First {
		return nil
	}
	if v.lagging {
		v.goal = max(v.goal, m.Last)
		return nil
	}
	c.early(v, early{first: m.First, last: m.Last})
	return nil
}

// hinted handles HINT.
func (c *Client) hinted(payload []byte) error {
	var m protocol.Cursor
	if err := m.Decode(payload); err != nil {
		return err
	}
	if m.Target.Kind == protocol.KindNone {
		c.startSync()
		return nil
	}
	v := c.inbox.lookup(targetOf(m.Target))
	v.goal = max(v.goal, m.Seq)
	c.advance(v)
	return nil
}

// receipt handles RECEIPT.
func (c *Client) receipt(payload []byte) error {
	var m protocol.Receipt
	if err := m.Decode(payload); err != nil {
		return err
	}
	c.tellReceipt(Receipt{
		Conversation: c.address(m.Target, m.User), User: m.User, Device: m.Device,
		Delivered: m.Delivered, Read: m.Read,
	})
	return nil
}

// mine says whether this device sent the message: its Ack has told of it, so it
// is not delivered.
func (c *Client) mine(m *protocol.Message) bool {
	return m.Device == c.device && m.Sender == c.User()
}

func (c *Client) keep(body []byte) []byte {
	return c.inbox.keep(body, len(body)+len(c.in.data))
}

// deliver hands over the message whose turn it is; false says that the app has no
// room, and that the conversation lags now.
func (c *Client) deliver(v *conversation, m *protocol.Message) bool {
	if !c.mine(m) && !c.hand(v, c.message(v.target, m, c.keep(m.Body))) {
		v.goal = max(v.goal, m.Seq)
		return false
	}
	v.next = m.Seq + 1
	return true
}

// hand puts a message where the app takes it.
func (c *Client) hand(v *conversation, m Message) bool {
	q := &c.queue
	if len(q.fresh) >= maxFresh {
		c.handOver()
	}
	if q.put(v, m) {
		return true
	}
	c.handOver()
	if q.pour(); q.put(v, m) {
		return true
	}
	if q.await(v, len(m.Body), c.life) {
		if q.pour(); q.put(v, m) {
			return true
		}
	}
	c.lag(v)
	return false
}

// lag stops taking what arrives in a conversation until the app has caught up;
// then it is fetched.
func (c *Client) lag(v *conversation) {
	c.stall(v)
	c.inbox.lagging = append(c.inbox.lagging, v)
}

// stall stops taking what arrives in a conversation.
func (c *Client) stall(v *conversation) {
	v.lagging, v.waiting = true, false
	if n := len(v.stash); n > 0 {
		v.goal = max(v.goal, v.stash[n-1].last)
		c.inbox.unstash(v, n)
	}
}

// heedQueue does what the app has made possible.
func (c *Client) heedQueue() {
	taken, room, refused := c.queue.news()
	if taken {
		soonest(&c.due.ack, c.ackBy())
	}
	for _, v := range refused {
		c.stall(v)
		v.goal = max(v.goal, v.next-1)
		var pause time.Duration
		v.next, pause = c.queue.unbar(v)
		v.until = c.link.now.Add(pause)
		soonest(&c.due.again, v.until)
		c.inbox.refused = append(c.inbox.refused, v)
	}
	if room {
		lagging := c.inbox.lagging
		c.inbox.lagging = nil
		for _, v := range lagging {
			if v.until.IsZero() {
				v.lagging = false
				c.advance(v)
			}
		}
	}
}

// bringAgain fetches what the app refused.
func (c *Client) bringAgain() {
	c.due.again = time.Time{}
	refused := c.inbox.refused
	c.inbox.refused = nil
	for _, v := range refused {
		if c.link.now.Before(v.until) {
			soonest(&c.due.again, v.until)
			c.inbox.refused = append(c.inbox.refused, v)
			continue
		}
		v.until, v.lagging = time.Time{}, false
		c.advance(v)
	}
}

// early keeps what came before its turn, and sees to what is missing.
func (c *Client) early(v *conversation, e early) {
	if !c.inbox.stash(v, e) {
		v.goal = max(v.goal, e.last)
	}
	c.advance(v)
}

// advance delivers what is stashed as far as it goes, and if something is
// missing waits for it or fetches it.
func (c *Client) advance(v *conversation) {
	if v.next == 0 || v.lagging {
		return
	}
	n, before := 0, v.next
	for n < len(v.stash) && v.stash[n].first <= v.next {
		e := &v.stash[n]
		if e.last >= v.next {
			if e.deliver && !c.hand(v, e.message) {
				return // lag has emptied the stash
			}
			v.next = e.last + 1
		}
		n++
	}
	c.inbox.unstash(v, n)
	if v.next != before {
		c.received(v, true)
	}
	switch {
	case v.fetching:
	case v.next <= v.goal:
		c.fetch(v)
	case len(v.stash) == 0:
		v.waiting = false
	case v.missing() > c.unacked(v.target):
		v.goal = v.stash[len(v.stash)-1].last
		c.fetch(v)
	default:
		c.await(v)
	}
}

// unacked counts this device's own messages to the target that are on the wire.
func (c *Client) unacked(target Target) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.unacked(target)
}

// await gives the gap at v.next time to close by itself.
func (c *Client) await(v *conversation) {
	if v.waiting && v.gap == v.next {
		return
	}
	v.waiting, v.gap, v.deadline = true, v.next, c.link.now.Add(gapWait)
	soonest(&c.due.gap, v.deadline)
	if !v.listed {
		v.listed = true
		c.inbox.waiting = append(c.inbox.waiting, v)
	}
}

// endWaits fetches what did not come by itself.
func (c *Client) endWaits() {
	c.due.gap = time.Time{}
	waiting := c.inbox.waiting
	c.inbox.waiting = nil
	for _, v := range waiting {
		v.listed = false
		switch {
		case !v.waiting:
		case c.link.now.Before(v.deadline):
			v.listed = true
			c.inbox.waiting = append(c.inbox.waiting, v)
			soonest(&c.due.gap, v.deadline)
		default:
			v.waiting = false
			v.goal = max(v.goal, v.stash[len(v.stash)-1].last)
			c.advance(v)
		}
	}
}
