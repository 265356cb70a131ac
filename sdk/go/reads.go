package gannet

import (
	"slices"
	"time"

	"gannet/protocol"
)

// maxReads is how many READs are under way at once; the others follow their
// answers, so that an app that was offline for long stays within what the server
// lets a connection ask.
const maxReads = 32

// reads are the read marks that the server does not have yet, under Client.mu. A
// conversation has one, which rises.
type reads struct {
	marks   map[Target]*readMark
	waiting []*readMark // to be sent, oldest first
	flying  []*readMark
	later   []*readMark // to be sent again at retryAt
}

type readMark struct {
	target  Target
	seq     uint64
	sent    uint64 // the seq under way
	told    uint64 // the server knows that everything up to here was read
	request uint32
	retries int
	retryAt time.Time
}

// MarkRead says that the user has read a conversation up to seq. It returns at
// once: the client tells the server as soon as it is connected, and again until
// the server has it on disk; with a Store also after a restart. A seq past the
// head counts as the head, and a lower one than before does nothing. It fails with
// ErrClosed, ErrStore or, where there can be no such conversation, CodeBadTarget; a mark
// that the server refuses is forgotten. What is marked before the first login shares the fate of
// messages that were taken then; see WithUser.
func (c *Client) MarkRead(conversation Target, seq uint64) error {
	if conversation.Kind == 0 || conversation.ID == 0 && (conversation.Kind == KindDirect || conversation.Kind == KindGroup) {
		return &Error{Code: CodeBadTarget, Text: conversation.String() + " cannot be read"}
	}
	defer c.heedStore()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return c.refusal()
	}
	if err := c.journal.take(record{kind: recordRead, target: conversation, seq: seq}); err != nil {
		return err
	}
	c.reads.add(conversation, seq)
	c.putReads()
	c.flush()
	return nil
}

func (r *reads) add(target Target, seq uint64) {
	m := r.marks[target]
	if m == nil {
		m = &readMark{target: target}
		if r.marks == nil {
			r.marks = make(map[Target]*readMark)
		}
		r.marks[target] = m
		r.waiting = append(r.waiting, m)
	}
	m.seq = max(m.seq, seq)
}

// putReads sends what may go out. The caller holds mu.
func (c *Client) putReads() {
	r := &c.reads
	for c.wire.conn != nil && len(r.waiting) > 0 && len(r.flying) < maxReads {
		m := r.waiting[0]
		r.waiting[0] = nil
		r.waiting = r.waiting[1:]
		r.flying = append(r.flying, m)
		m.request, m.sent = c.numbers.next(), m.seq
		c.wire.pending = protocol.Cursor{Target: m.target.wire(), Seq: m.seq}.AppendRead(c.wire.pending, m.request)
	}
}

// holdAll puts everything back: the connection is gone.
func (r *reads) holdAll() {
	r.waiting = append(append(r.flying, r.later...), r.waiting...)
	r.flying, r.later = nil, nil
}

// readDone handles what answers a READ; false says that it is none.
func (c *Client) readDone(request uint32, e *Error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &c.reads
	i := slices.IndexFunc(r.flying, func(m *readMark) bool { return m.request == request })
	if i < 0 {
		return false
	}
	m := r.flying[i]
	m.told = m.sent
	r.flying = slices.Delete(r.flying, i, i+1)
	switch {
	case e != nil && e.Code.action() == protocol.ActionRetry:
		m.told = 0
		m.retries++
		m.retryAt = c.link.now.Add(retryDelay(m.retries, e.RetryAfter))
		soonest(&c.due.ask, m.retryAt)
		r.later = append(r.later, m)
	case e == nil && m.seq > m.sent:
		m.retries = 0
		r.waiting = append(r.waiting, m)
	default:
		if e != nil {
			c.warn("the server refused a read mark", "conversation", m.target, "seq", m.seq, "reason", e)
		}
		delete(r.marks, m.target)
		c.journal.append(record{kind: recordReadDone, target: m.target, seq: m.seq})
	}
	c.putReads()
	c.flush()
	c.wakeFlushes()
	return true
}

// readAgain sends the marks whose retry is due. The caller holds mu.
func (c *Client) readAgain(now time.Time) {
	r := &c.reads
	later := r.later
	r.later = nil
	for _, m := range later {
		if now.Before(m.retryAt) {
			r.later = append(r.later, m)
			soonest(&c.due.ask, m.retryAt)
		} else {
			r.waiting = append(r.waiting, m)
		}
	}
	c.putReads()
}
