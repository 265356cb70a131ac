package load

import (
	"fmt"
	"time"

	"gannet/protocol"
)

// input takes what was read.
func (c *leanClient) input(p []byte) {
	c.user.wire.in.Add(uint64(len(p)))
	c.user.wire.reads.Add(1)
	if len(c.partial) > 0 {
		c.partial = append(c.partial, p...)
		p = c.partial
	}
	c.corked = true
	taken := 0
	for c.lost == nil {
		f, n, err := protocol.Split(p[taken:], protocol.MaxFrame)
		if err == nil && n > 0 {
			taken += n
			err = c.frame(f)
		}
		if err != nil {
			c.lose(err)
		}
		if n == 0 {
			break
		}
	}
	c.partial = append(c.partial[:0], p[taken:]...)
	c.corked = false
	c.flush()
}

func (c *leanClient) frame(f protocol.Frame) error {
	switch f.Type {
	case protocol.TypeSendAck:
		var m protocol.SendAck
		if err := m.Decode(f.Payload); err != nil {
			return err
		}
		c.finish(m.ClientID-c.first, outcome{seq: m.Seq})
	case protocol.TypePush:
		var m protocol.Message
		if err := m.Decode(f.Payload); err != nil {
			return err
		}
		i, _ := c.user.with(m.Sender)          // a stranger's is a fault, of which the user tells
		if t := &c.talks[i]; t.goal > t.have { // comes with what is being fetched
			t.known = max(t.known, m.Seq)
			t.goal = max(t.goal, t.known)
			break
		}
		c.message(i, &m)
	case protocol.TypeHint:
		var m protocol.Cursor
		if err := m.Decode(f.Payload); err != nil {
			return err
		}
		c.hint(m)
	case protocol.TypeMessages:
		return c.page(int(f.Request&^historyRequest), f.Payload)
	case protocol.TypeError:
		return c.refused(f)
	case protocol.TypeClose:
		return failure(f.Payload)
	}
	return nil
}

// finish tells the user how message n went, once all before it have been told.
func (c *leanClient) finish(n uint64, o outcome) {
	if n <= c.done || n > c.sent {
		return
	}
	if n != c.done+1 {
		if c.early == nil {
			c.early = make(map[uint64]outcome)
		}
		c.early[n] = o
		return
	}
	for found := true; found; {
		c.done++
		delete(c.early, c.done)
		c.user.onDone(c.first+c.done, o.seq, o.err)
		o, found = c.early[c.done+1]
	}
}

// message gives the user a message that is new.
func (c *leanClient) message(i int, m *protocol.Message) {
	c.owe(i) // also when the server missed a PUSHACK
	t := &c.talks[i]
	if m.Seq <= t.have {
		return
	}
	t.have = m.Seq
	if m.Sender != c.user.id {
		c.user.onMessage(m.Seq, m.Sender, m.Body)
	}
}

// hint takes that there is more than was pushed.
func (c *leanClient) hint(m protocol.Cursor) {
	if m.Target.Kind == protocol.KindNone {
		for i := range c.talks {
			t := &c.talks[i]
			t.goal = max(t.goal, t.have+1)
			c.fetch(i)
		}
		return
	}
	if i, ok := c.user.with(m.Target.ID); ok {
		t := &c.talks[i]
		t.known = max(t.known, m.Seq)
		t.goal = max(t.goal, t.known)
		c.fetch(i)
	}
}

// fetch asks for what did not come as a push.
func (c *leanClient) fetch(i int) {
	t := &c.talks[i]
	if t.fetching || t.have >= t.goal {
		return
	}
	t.fetching = true
	c.out = protocol.History{Target: t.peer, Direction: protocol.Forward, Seq: t.have + 1}.AppendFrame(c.out, historyRequest|uint32(i))
}

// page takes what was asked for.
func (c *leanClient) page(i int, payload []byte) error {
	var page protocol.Messages
	if err := page.Decode(payload); err != nil {
		return err
	}
	if i >= len(c.talks) {
		return fmt.Errorf("a page of request %d, which nobody made", i)
	}
	t := &c.talks[i]
	t.fetching = false
	for m := range page.All() {
		c.message(i, &m)
	}
	if page.Last >= page.First {
		t.have = max(t.have, page.Last)
	}
	if t.have >= page.Head {
		t.goal = t.known
	}
	c.fetch(i)
	return nil
}

// refused handles ERROR.
func (c *leanClient) refused(f protocol.Frame) error {
	var m protocol.Failure
	if err := m.Decode(f.Payload); err != nil {
		return err
	}
	retry := m.Code.Action() == protocol.ActionRetry
	if m.Code == protocol.CodeRateLimited {
		c.user.load.overLimit(failure(f.Payload))
	}
	talk := int(f.Request &^ historyRequest)
	history := f.Request >= historyRequest && talk < len(c.talks)
	switch {
	case f.Request == 0 && retry:
		for _, i := range c.told { // it does not say which
			c.owe(i)
		}
	case history && retry:
		c.talks[talk].fetching, c.behind = false, true // the loop's next round asks again
	case f.Request == 0, history:
		return failure(f.Payload)
	default:
		n := c.done + 1 + uint64((f.Request-uint32(c.done+1))&(historyRequest-1))
		if !retry {
			c.finish(n, outcome{err: failure(f.Payload)})
			break
		}
		c.user.again.Add(1)
		c.again = append(c.again, n)
		c.againAt = c.loop.now + max(int64(m.RetryAfter)*int64(time.Millisecond), int64(leanRetry))
	}
	return nil
}
