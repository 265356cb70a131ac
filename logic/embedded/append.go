package embedded

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"gannet/logic"
	"gannet/protocol"
)

// batch is what a lane works out while a batch is under way; its slices are
// reused for the next one.
type batch struct {
	clock         uint64          // Unix milliseconds; never falls, so that no change is dated before a SYNC that missed it
	steps         []step          // of each entry
	conversations []*conversation // each once; kept after a failed commit, so that readers stay behind it
	remembered    remembered
}

// step is an entry on its way into the store.
type step struct {
	*conversation
	prev uint64 // of a new message: seq of the one that its device had before
	next int    // entry of the conversation's next new message, -1: none
}

// Append implements logic.Log.
func (s *Store) Append(ctx context.Context, lane int, b *logic.Batch) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.exit()
	l := s.lanes[lane]
	l.append.Lock()
	defer l.append.Unlock()
	if err := s.Err(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return unavailable(err) // nothing was done; later the commit takes its course
	}
	l.batch.clock = max(l.batch.clock, uint64(s.now().UnixMilli()))

	if err := s.gather(l, lane, b.Entries); err != nil {
		l.abandon()
		return err
	}
	if err := s.apply(l, b); err != nil {
		l.abandon()
		return err
	}
	w := s.db.NewBatch()
	l.batch.write(w, b)
	if !w.Empty() { // else nothing is new; what was repeated is durable, as its batch had returned
		if err := s.commit(w); err != nil {
			return err
		}
	}
	l.settle()
	w.Close()
	if record := frames(b); len(record) > 0 && s.publish != nil {
		s.publish(lane, record)
	}
	return nil
}

// commit makes the batch durable. A panic of Pebble's, which is how it reports
// that the write-ahead log failed, is an error like any other.
func (s *Store) commit(w *pebble.Batch) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = s.fail(fmt.Errorf("%v", cause))
		}
	}()
	if err := s.db.Apply(w, pebble.Sync); err != nil {
		return s.fail(err)
	}
	return nil
}

// gather finds the conversation of each entry, in the cache or in Pebble.
func (s *Store) gather(l *lane, lane int, entries []logic.Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var c *conversation
	for i := range entries {
		if key := entries[i].Conversation; c == nil || c.key != key {
			if c = l.use(key); c == nil {
				if s.laneOf(key) != l { // in two lanes a seq could be given out twice
					return unavailable(fmt.Errorf("entry %d is not of lane %d", i, lane))
				}
				l.mu.Unlock()
				loaded, err := s.load(key)
				l.mu.Lock()
				if err != nil {
					return err
				}
				c = loaded
				l.put(c)
			}
			if !c.work.touched {
				c.work = work{touched: true, first: -1, last: -1}
				l.batch.conversations = append(l.batch.conversations, c)
			}
		}
		l.batch.steps = append(l.batch.steps, step{conversation: c, next: -1})
	}
	return nil
}

// apply carries out the entries in memory and fills in their results.
func (s *Store) apply(l *lane, b *logic.Batch) error {
	for i := range b.Entries {
		e, c := &b.Entries[i], l.batch.steps[i].conversation
		payload := b.Record[e.Start+protocol.HeaderSize : e.End]
		switch e.Op {
		case logic.OpMessage:
			d := c.device(e.User, e.Device)
			if e.ClientID <= d.maxID {
				known, err := s.recall(l, d, b.Entries, i)
				if err != nil {
					return err
				}
				if known {
					continue
				}
			}
			l.accept(d, e, i)
			protocol.SetSeq(payload, e.Seq, e.Time)
		case logic.OpCursor:
			if l.raise(c, e); e.Outcome == logic.Applied {
				protocol.SetCursors(payload, e.Delivered, e.Read)
			}
		default:
			return unavailable(fmt.Errorf("entry %d has the unknown op %d", i, e.Op))
		}
	}
	return nil
}

// accept gives the new message of entry i its seq.
func (l *lane) accept(d *device, e *logic.Entry, i int) {
	st := &l.batch.steps[i]
	c := st.conversation
	c.next.head++
	c.next.time = max(c.next.time, l.batch.clock)
	c.next.changed = max(c.next.changed, c.next.time)
	e.Outcome, e.Seq, e.Time = logic.Applied, c.next.head, c.next.time

	st.prev = d.last
	if c.work.first < 0 {
		c.work.first = i
	} else {
		l.batch.steps[c.work.last].next = i
	}
	c.work.last = i

	d.maxID = max(d.maxID, e.ClientID)
	d.last = e.Seq
	if d.recent != nil {
		d.recent.add(sent{id: e.ClientID, seq: e.Seq})
	}
	if !d.sent {
		d.sent = true
		d.nextSent, c.work.sent = c.work.sent, d
	}
	c.move(l.member(c, e.User), logic.Position{Delivered: e.Seq, Read: e.Seq})
}

// raise carries out a cursor entry.
func (l *lane) raise(c *conversation, e *logic.Entry) {
	read := min(e.Read, c.next.head)
	delivered := max(min(e.Delivered, c.next.head), read)
	if i, found := c.findMember(e.User); found {
		at := c.members[i].next
		e.Delivered, e.Read = max(at.Delivered, delivered), max(at.Read, read)
		if e.Delivered == at.Delivered && e.Read == at.Read {
			e.Outcome = logic.Repeated
			return
		}
	} else if e.Delivered, e.Read = delivered, read; delivered == 0 {
		e.Outcome = logic.Repeated
		return
	}
	e.Outcome = logic.Applied
	c.next.changed = max(c.next.changed, l.batch.clock)
	m := l.member(c, e.User)
	m.raised = true
	c.move(m, logic.Position{Delivered: e.Delivered, Read: e.Read})
}

// move sets where the cursors of a member will be.
func (c *conversation) move(m *member, to logic.Position) {
	m.next = to
	if !m.moved {
		m.moved = true
		m.nextMoved, c.work.moved = c.work.moved, m
	}
}

// settle makes what the batch did the state that readers see. It is durable.
func (l *lane) settle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.batch.conversations {
		c.durable = c.next
		for m := c.work.moved; m != nil; m = m.nextMoved {
			m.durable = m.next
			m.moved, m.raised = false, false
		}
		for d := c.work.sent; d != nil; d = d.nextSent {
			d.durable = d.last
			d.sent = false
		}
		c.work = work{}
	}
	l.batch.reset()
}

// abandon forgets the conversations of a batch of which nothing was written:
// what the batch made of them in memory never happened.
func (l *lane) abandon() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.batch.conversations {
		delete(l.young, c.key)
		delete(l.old, c.key)
	}
	l.batch.reset()
}

func (b *batch) reset() {
	clear(b.steps)
	clear(b.conversations)
	b.steps, b.conversations = b.steps[:0], b.conversations[:0]
}

// frames cuts the record down to the frames of the applied entries.
func frames(b *logic.Batch) []byte {
	n := 0
	for i := range b.Entries {
		if e := &b.Entries[i]; e.Outcome == logic.Applied {
			if e.Start != n {
				copy(b.Record[n:], b.Record[e.Start:e.End])
			}
			n += e.End - e.Start
		}
	}
	return b.Record[:n]
}
