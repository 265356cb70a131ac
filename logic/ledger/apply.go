package ledger

import (
	"context"
	"time"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/protocol"
)

// work is what the writer works out while a batch is under way; its memory is
// used again for the next one.
type work struct {
	steps   []step          // of each entry of all batches, in order
	touched []*conversation // each once
	change  Change

	wroteMembers []*member // whose next state is in change.Members
	wroteDevices []*device // likewise

	number uint64 // of the batch under way; rises
	loads  []*Loaded
	loaded map[protocol.Conversation]bool // what is in loads
	charge map[uint64]int                 // how many of them each user asked for first
	asking []asking
	repaid int // how many of Ledger.owed are in the change

	windows []*device // that have a window, oldest first
	known   int       // client ids in all of them, about
}

// asking is a device whose window has to be read back further.
type asking struct {
	conversation *conversation
	device       *device
}

// reset ends a batch.
func (w *work) reset(room int) {
	clear(w.steps)
	clear(w.touched)
	clear(w.wroteMembers)
	clear(w.wroteDevices)
	clear(w.loads)
	clear(w.loaded)
	clear(w.charge)
	clear(w.asking)
	w.steps, w.touched = w.steps[:0], w.touched[:0]
	w.wroteMembers, w.wroteDevices = w.wroteMembers[:0], w.wroteDevices[:0]
	w.loads, w.asking = w.loads[:0], w.asking[:0]
	w.repaid = 0
	if w.known > room {
		w.forgetWindows(room)
	}
}

// forgetWindows drops the oldest windows until half of the room is free.
func (w *work) forgetWindows(room int) {
	w.known = 0
	kept := w.windows[:0]
	for i := len(w.windows) - 1; i >= 0; i-- { // newest first
		d := w.windows[i]
		if d.window == nil {
			continue
		}
		w.known += windowCost + d.window.size()
		if w.known > room/2 {
			d.window = nil
		}
	}
	for _, d := range w.windows {
		if d.window != nil {
			kept = append(kept, d)
		}
	}
	clear(w.windows[len(kept):])
	w.windows = kept
	w.known = min(w.known, room/2)
}

// step is an entry on its way.
type step struct {
	conversation *conversation // nil: it could not be loaded
	device       *device       // nil: there is none yet, or the entry is an OpRead
	entry        *logic.Entry
	blob         []byte // of the entry's batch

	code  protocol.Code // it is refused before it is carried out
	retry time.Duration // for so long
	known sent          // it is a repeat of this one, where seq is not 0

	// Of a new message.
	previous   uint64 // seq of the one that its device had before
	count, own uint64 // messages up to it that count, and those of them by its sender
	next       int    // step of the conversation's next new message, -1: none
}

// Input says what a record is made of.
type Input struct {
	Batches []*logic.Batch
	Stamp   uint64 // higher than every stamp before
	Now     uint64 // Unix milliseconds
	Acks    bool   // write all acks that are not written, however young they are

	// Room bounds the acks of devices that the record takes along, but for those of devices
	// that send in it; the others wait, and count as due as before. 0: there is no bound.
	Room int
}

// Apply carries out the batches in memory, fills in the results of their entries
// and gives what is to be written. An entry whose conversation cannot be read is
// Unknown; the others go on. It loads at most once: the conversations that are not
// in memory. An error means that nothing could be loaded and nothing was done; after any
// other return the writer calls Settle or Abandon. The Change is valid until then.
func (l *Ledger) Apply(ctx context.Context, in Input) (*Change, error) {
	w := &l.work
	w.number++
	w.change.begin(in)
	l.take()
	l.learn()
	if err := l.gather(ctx, in.Batches); err != nil {
		l.Abandon()
		return nil, err
	}
	l.judge()
	for i := range w.steps {
		s := &w.steps[i]
		switch {
		case s.code != 0:
			refuse(s.entry, s.code, s.retry)
		case s.conversation == nil: // it could not be read
		case s.entry.Op == hop.OpMessage:
			l.message(i)
		case s.entry.Op == hop.OpAck:
			l.ack(s)
		case s.entry.Op == hop.OpRead:
			l.read(s.conversation, s.entry)
		}
	}
	l.collect(in)
	return &w.change, nil
}

// watch gives a device its window, which knows every message from now on.
func (w *work) watch(d *device) {
	d.window = newWindow(&d.next)
	w.windows = append(w.windows, d)
	w.known += windowCost
}

// message carries out a SEND.
func (l *Ledger) message(i int) {
	s := &l.work.steps[i]
	c, e := s.conversation, s.entry
	d := s.device
	if d == nil {
		d = c.device(e.User, e.Device) // perhaps since the batch began
	}
	if s.known.seq != 0 {
		e.Outcome, e.Seq, e.Time = logic.Repeated, s.known.seq, s.known.time
		return
	}
	if d != nil && e.ClientID <= d.next.MaxID {
		if d.window == nil || !d.window.decided(e.ClientID) {
			e.Outcome = logic.Unknown // it could not be read
			return
		}
		first, repeated, stale := d.window.judge(e.ClientID)
		switch {
		case repeated:
			e.Outcome, e.Seq, e.Time = logic.Repeated, first.seq, first.time
			return
		case stale:
			refuse(e, protocol.CodeStaleClientID, 0)
			return
		}
	}
	m := l.member(c, e.User)
	if wait := l.wait(c, m); wait > 0 {
		m.limited = wait
		refuse(e, protocol.CodeRateLimited, wait)
		return
	}
	if d == nil {
		if d = l.addDevice(c, e.User, e.Device); d == nil {
			refuse(e, protocol.CodeTooManyDevices, 0)
			return
		}
	}
	before := c.next.Head
	c.next.Head = max(before, l.options.Floor) + 1
	c.next.Time = max(c.next.Time, l.work.change.now)
	c.next.Changed = l.work.change.Stamp
	if !e.Silent {
		c.next.Count++
		m.next.Total++
	}
	e.Outcome, e.Seq, e.Time = logic.Applied, c.next.Head, c.next.Time
	protocol.SetSeq(s.blob[e.Frame.Start+protocol.HeaderSize:e.Frame.End], e.Seq, e.Time)

	if c.first < 0 {
		c.first = i
	} else {
		l.work.steps[c.last].next = i
	}
	c.last = i
	s.previous, s.count, s.own = d.next.Last, c.next.Count, m.next.Total
	if d.window == nil {
		l.work.watch(d)
	}
	d.next.send(e.ClientID, e.Seq, e.Time, before)
	c.changes(d)
	d.window.add(sent{e.ClientID, e.Seq, e.Time})
	l.work.known++
}

// wait gives for how long a message of the user is refused: because it would begin the
// conversation, or because one before it was.
func (l *Ledger) wait(c *conversation, m *member) time.Duration {
	if m.limited > 0 || c.next.Head > 0 || m.next.User == 0 || l.options.Admit == nil {
		return m.limited
	}
	d := l.options.Admit(m.next.User)
	return (d + time.Millisecond - 1).Truncate(time.Millisecond) // what the wire can say, and not less
}

func refuse(e *logic.Entry, code protocol.Code, retry time.Duration) {
	e.Outcome, e.Code, e.RetryAfter = logic.Refused, code, retry
}

// ack carries out a PUSHACK.
func (l *Ledger) ack(s *step) {
	c, e := s.conversation, s.entry
	m := l.member(c, e.User)
	before := c.delivered(m.next, nextAck)
	d := s.device
	if d == nil {
		d = c.device(e.User, e.Device)
	}
	acks := min(e.Seq, c.next.Head)
	if d == nil && acks > 0 {
		if d = l.addDevice(c, e.User, e.Device); d == nil {
			refuse(e, protocol.CodeTooManyDevices, 0)
			return
		}
	}
	e.Seq = acks
	e.Outcome = logic.Repeated
	if d != nil && e.Seq > d.next.Acked {
		d.next.Acked, d.softNext = e.Seq, true
		c.changes(d)
		e.Outcome = logic.Applied
	}
	e.Delivered, e.Read = max(before, e.Seq), m.next.Read
	e.Rose = e.Delivered > before
}

// read carries out a READ. The counts as of its seq are known at the head, and where
// somebody remembers the message; for any other they are looked up when somebody asks
// (Learn).
func (l *Ledger) read(c *conversation, e *logic.Entry) {
	m := l.member(c, e.User)
	before := c.delivered(m.next, nextAck)
	e.Seq = min(e.Seq, c.next.Head)
	e.Outcome = logic.Repeated
	if e.Seq > m.next.Read {
		e.Outcome, e.Rose = logic.Applied, true
		m.next.Read, m.next.Delivered = e.Seq, max(m.next.Delivered, e.Seq)
		m.next.Counted, m.next.Count, m.next.Own = false, 0, 0
		if e.Seq == c.next.Head {
			m.next.Counted, m.next.Count, m.next.Own = true, c.next.Count, m.next.Total
		} else if l.options.Counts != nil {
			count, own, ok := l.options.Counts(c.key, e.User, e.Seq)
			if ok && m.next.fits(c.next.Count, count, own) { // totals of a state that lost something say less
				m.next.Counted, m.next.Count, m.next.Own = true, count, own
			}
		}
		m.next.Changed, c.next.Changed = l.work.change.Stamp, l.work.change.Stamp
		m.raised = true
	}
	e.Delivered, e.Read = max(before, e.Seq), m.next.Read
}

// member finds or adds a user, whom the batch is going to change.
func (l *Ledger) member(c *conversation, user uint64) *member {
	i, found := c.findMember(user)
	if !found {
		fresh := &member{next: Member{User: user}, shown: Member{User: user}, written: Member{User: user}}
		l.mu.Lock()
		c.insertMember(i, fresh)
		l.mu.Unlock()
	}
	m := c.members[i]
	if !m.touched {
		m.touched, m.raised, m.limited = true, false, 0
		m.nextChanged, c.membersChanged = c.membersChanged, m
	}
	return m
}
