package embedded

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"gannet/logic"
	"gannet/protocol"
)

// batch is what a lane works out while a batch is under way; its slices are
// reused for the next one.
type batch struct {
	clock         uint64          // Unix milliseconds, never falling
	of            []*conversation // of each entry
	conversations []*conversation // each once; kept after a failed commit, so that readers stay behind it
	members       []memberOf      // whose cursors moved
	devices       []deviceOf      // that sent something
	remembered    remembered
}

type memberOf struct {
	*conversation
	*member
}

type deviceOf struct {
	*conversation
	*device
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
	if err := s.failed.Load(); err != nil {
		return *err
	}
	if err := ctx.Err(); err != nil {
		return unavailable(err) // nothing was done; later the commit takes its course
	}
	l.batch.clock = max(l.batch.clock, uint64(s.now().UnixMilli()))

	if err := s.gather(l, lane, b.Entries); err != nil {
		l.abandon()
		return err
	}
	w := s.db.NewBatch()
	if err := s.apply(l, w, b); err != nil {
		w.Close()
		l.abandon()
		return err
	}
	if w.Empty() { // nothing new, and what was repeated is durable: its batch returned before this one began
		l.settle()
		return w.Close()
	}
	if err := s.commit(w); err != nil {
		return err
	}
	l.settle()
	if s.publish != nil {
		s.publish(lane, frames(b))
	}
	return w.Close()
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
	l.batch.of = l.batch.of[:0]
	l.mu.Lock()
	defer l.mu.Unlock()
	var c *conversation
	for i := range entries {
		if key := entries[i].Conversation; c == nil || c.key != key {
			if c = l.use(key); c == nil {
				if s.laneOf(key) != l { // in two lanes a seq could be given out twice
					return fmt.Errorf("embedded: entry %d is not of lane %d", i, lane)
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
			if !c.touched {
				c.touched = true
				l.batch.conversations = append(l.batch.conversations, c)
			}
		}
		l.batch.of = append(l.batch.of, c)
	}
	return nil
}

// apply carries out the entries in memory, fills in their results and writes
// what they change to w.
func (s *Store) apply(l *lane, w *pebble.Batch, b *logic.Batch) error {
	for i := range b.Entries {
		e, c := &b.Entries[i], l.batch.of[i]
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
			l.accept(w, c, d, e, payload)
		case logic.OpCursor:
			l.raise(c, e, payload)
		default:
			return fmt.Errorf("embedded: entry %d has the unknown op %d", i, e.Op)
		}
	}
	for _, x := range l.batch.members {
		if x.raised {
			putCursors(w, x.conversation, x.member, l.batch.clock)
		}
	}
	for _, x := range l.batch.devices {
		putDevice(w, x.conversation, x.device)
	}
	return nil
}

// accept gives a new message its seq.
func (l *lane) accept(w *pebble.Batch, c *conversation, d *device, e *logic.Entry, payload []byte) {
	c.next.head++
	c.next.time = max(c.next.time, l.batch.clock)
	c.next.changed = max(c.next.changed, c.next.time)
	e.Outcome, e.Seq, e.Time = logic.Applied, c.next.head, c.next.time
	protocol.SetSeq(payload, e.Seq, e.Time)

	op := w.SetDeferred(messageSize, linkSize+len(payload))
	putMessageKey(op.Key, &c.place, e.Seq)
	binary.BigEndian.PutUint64(op.Value, d.last)
	copy(op.Value[linkSize:], payload)
	op.Finish()
	if e.Seq == 1 {
		putInbox(w, c.key)
	}

	d.maxID = max(d.maxID, e.ClientID)
	d.last = e.Seq
	if d.recent != nil {
		d.recent.add(sent{id: e.ClientID, seq: e.Seq})
	}
	if !d.sent {
		d.sent = true
		l.batch.devices = append(l.batch.devices, deviceOf{c, d})
	}
	l.move(c, l.member(c, e.User), logic.Position{Delivered: e.Seq, Read: e.Seq})
}

// raise carries out a cursor entry.
func (l *lane) raise(c *conversation, e *logic.Entry, payload []byte) {
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
	protocol.SetCursors(payload, e.Delivered, e.Read)
	c.next.changed = max(c.next.changed, l.batch.clock)
	m := l.member(c, e.User)
	m.raised = true
	l.move(c, m, logic.Position{Delivered: e.Delivered, Read: e.Read})
}

// move sets where the cursors of a member will be.
func (l *lane) move(c *conversation, m *member, to logic.Position) {
	m.next = to
	if !m.moved {
		m.moved = true
		l.batch.members = append(l.batch.members, memberOf{c, m})
	}
}

// settle makes what the batch did the state that readers see. It is durable.
func (l *lane) settle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.batch.conversations {
		c.durable = c.next
		c.touched = false
	}
	for _, x := range l.batch.members {
		x.member.durable = x.member.next
		x.moved, x.raised = false, false
	}
	for _, x := range l.batch.devices {
		x.device.durable = x.last
		x.sent = false
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
	clear(b.of)
	clear(b.conversations)
	clear(b.members)
	clear(b.devices)
	b.of, b.conversations = b.of[:0], b.conversations[:0]
	b.members, b.devices = b.members[:0], b.devices[:0]
}

func putCursors(w *pebble.Batch, c *conversation, m *member, changed uint64) {
	op := w.SetDeferred(stateSize, cursorSize)
	putStateKey(op.Key, &c.place, m.user, 0)
	binary.BigEndian.PutUint64(op.Value, m.next.Delivered)
	binary.BigEndian.PutUint64(op.Value[8:], m.next.Read)
	binary.BigEndian.PutUint64(op.Value[16:], changed)
	op.Finish()
}

func putDevice(w *pebble.Batch, c *conversation, d *device) {
	op := w.SetDeferred(stateSize, deviceSize)
	putStateKey(op.Key, &c.place, d.user, d.device)
	binary.BigEndian.PutUint64(op.Value, d.maxID)
	binary.BigEndian.PutUint64(op.Value[8:], d.last)
	op.Finish()
}

// putInbox enters a conversation that gets its first message with its members.
func putInbox(w *pebble.Batch, c protocol.Conversation) {
	put := func(user uint64) {
		op := w.SetDeferred(inboxSize, 0)
		putInboxKey(op.Key, user, c.Target(user))
		op.Finish()
	}
	put(c.A)
	if c.B != c.A {
		put(c.B)
	}
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
