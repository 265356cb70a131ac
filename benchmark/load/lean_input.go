package load

import (
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
		if c.goal > c.have { // comes with what is being fetched
			c.known = max(c.known, m.Seq)
			c.goal = max(c.goal, c.known)
			break
		}
		c.message(&m)
	case protocol.TypeHint:
		var m protocol.Cursor
		if err := m.Decode(f.Payload); err != nil {
			return err
		}
		c.known = max(c.known, m.Seq)
		c.goal = max(c.goal, c.known)
		if m.Target.Kind == protocol.KindNone {
			c.goal = max(c.goal, c.have+1)
		}
		c.fetch()
	case protocol.TypeMessages:
		return c.page(f.Payload)
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
func (c *leanClient) message(m *protocol.Message) {
	c.owed = true // also when the server missed a PUSHACK
	if m.Seq <= c.have {
		return
	}
	c.have = m.Seq
	if m.Sender != c.user.id {
		c.user.onMessage(m.Seq, m.Sender, m.Body)
	}
}

// fetch asks for what did not come as a push.
func (c *leanClient) fetch() {
	if c.fetching || c.have >= c.goal {
		return
	}
	c.fetching = true
	c.out = protocol.History{Target: c.peer, Direction: protocol.Forward, Seq: c.have + 1}.AppendFrame(c.out, historyRequest)
}

// page takes what was asked for.
func (c *leanClient) page(payload []byte) error {
	var page protocol.Messages
	if err := page.Decode(payload); err != nil {
		return err
	}
	c.fetching = false
	for m := range page.All() {
		c.message(&m)
	}
	if page.Last >= page.First {
		c.have = max(c.have, page.Last)
	}
	if c.have >= page.Head {
		c.goal = c.known
	}
	c.fetch()
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
	switch {
	case f.Request == 0 && retry:
		c.owed = true
	case f.Request == historyRequest && retry:
		c.fetching = false // the loop's next round asks again
	case f.Request == 0, f.Request == historyRequest:
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
