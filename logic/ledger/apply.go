package ledger

import (
	"context"

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

	loads  []*Loaded
	asking []asking
	walks  []*Walk
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
	clear(w.asking)
	clear(w.walks)
	w.steps, w.touched = w.steps[:0], w.touched[:0]
	w.wroteMembers, w.wroteDevices = w.wroteMembers[:0], w.wroteDevices[:0]
	w.loads, w.asking, w.walks = w.loads[:0], w.asking[:0], w.walks[:0]
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
		w.known += windowCost + len(d.window.known)
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
	device       *device
	entry        *logic.Entry
	blob         []byte // of the entry's batch

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
}

// Apply carries out the batches in memory, fills in the results of their entries
// and gives what is to be written. An entry whose conversation cannot be read is
// Unknown; the others go on. It loads at most twice: the conversations that are not
// in memory, then what is needed to tell retries from new messages. An error means
// that nothing could be loaded and nothing was done; after any other return the
// writer calls Settle or Abandon. The Change is valid until then.
func (l *Ledger) Apply(ctx context.Context, in Input) (*Change, error) {
	w := &l.work
	w.change.begin(in)
	l.learn()
	if err := l.gather(ctx, in.Batches); err != nil {
		l.Abandon()
		return nil, err
	}
	if err := l.recall(ctx); err != nil {
		l.Abandon()
		return nil, err
	}
	for i := range w.steps {
		s := &w.steps[i]
		if s.conversation == nil {
			continue
		}
		switch s.entry.Op {
		case hop.OpMessage:
			l.message(i)
		case hop.OpAck:
			l.ack(s.conversation, s.device, s.entry)
		case hop.OpRead:
			l.read(s.conversation, s.entry)
		}
	}
	l.collect(in)
	return &w.change, nil
}

// gather finds the conversation of each entry, in memory or in the source.
func (l *Ledger) gather(ctx context.Context, batches []*logic.Batch) error {
	w := &l.work
	l.mu.Lock()
	var c *conversation
	for _, b := range batches {
		for i := range b.Entries {
			e := &b.Entries[i]
			if c == nil || c.key != e.Conversation {
				if c = l.use(e.Conversation); c != nil {
					w.touch(c)
				} else if l.takes(e) {
					w.loads = append(w.loads, &Loaded{Key: e.Conversation})
				}
			}
			e.Outcome = logic.Unknown
			w.steps = append(w.steps, step{conversation: c, entry: e, blob: b.Blob, next: -1})
		}
	}
	l.mu.Unlock()
	if len(w.loads) > 0 {
		if err := l.load(ctx); err != nil {
			return err
		}
	}
	l.mu.Lock() // devices are added
	defer l.mu.Unlock()
	for i := range w.steps {
		if s := &w.steps[i]; s.conversation != nil && s.entry.Op != hop.OpRead {
			s.device = s.conversation.device(s.entry.User, s.entry.Device)
		}
	}
	return nil
}

// takes says whether an entry belongs here: in two queues a seq could be given
// out twice.
func (l *Ledger) takes(e *logic.Entry) bool {
	return e.Conversation.Partition()%l.options.Queues == l.options.Queue
}

// load reads the conversations that are not in memory, each once.
func (l *Ledger) load(ctx context.Context) error {
	w := &l.work
	unique := w.loads[:0]
	seen := make(map[protocol.Conversation]bool, len(w.loads))
	for _, c := range w.loads {
		if !seen[c.Key] {
			seen[c.Key] = true
			unique = append(unique, c)
		}
	}
	w.loads = unique
	if err := l.source.Load(ctx, w.loads); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, loaded := range w.loads {
		if loaded.Err == nil {
			c := loaded.conversation()
			w.touch(c)
			l.put(c)
		}
	}
	for i := range w.steps {
		if s := &w.steps[i]; s.conversation == nil {
			s.conversation = l.peek(s.entry.Conversation)
		}
	}
	return nil
}

func (w *work) touch(c *conversation) {
	if !c.touched {
		c.touched, c.first, c.last = true, -1, -1
		w.touched = append(w.touched, c)
	}
}

// recall reads back what is needed to judge client ids that are not above their
// device's highest.
func (l *Ledger) recall(ctx context.Context) error {
	w := &l.work
	for i := range w.steps {
		s := &w.steps[i]
		if s.conversation == nil || s.entry.Op != hop.OpMessage {
			continue
		}
		d := s.device
		if !d.touched {
			d.highest = d.next.MaxID
			s.conversation.changes(d)
			if d.window != nil {
				d.window.trim()
			}
		}
		id := s.entry.ClientID
		if id > d.highest {
			d.highest = id
			continue
		}
		if d.window == nil {
			w.watch(d)
		}
		if !d.window.decided(id) {
			if len(d.wants) == 0 {
				w.asking = append(w.asking, asking{s.conversation, d})
			}
			d.wants = append(d.wants, id)
		}
	}
	if len(w.asking) == 0 {
		return nil
	}
	for _, a := range w.asking {
		w.walks = append(w.walks, a.device.window.walk(a.conversation, a.device))
	}
	err := l.source.Walk(ctx, w.walks)
	for i, a := range w.asking {
		d := a.device
		d.window.walked()
		d.wants = d.wants[:0]
		w.known += len(d.window.known)
		if err == nil && w.walks[i].Err != nil {
			d.window = nil // its retries are unknown; later ones ask anew
		}
	}
	return err
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
	c, d, e := s.conversation, s.device, s.entry
	if e.ClientID <= d.next.MaxID {
		if d.window == nil || !d.window.decided(e.ClientID) {
			e.Outcome = logic.Unknown // the walk failed
			return
		}
		first, repeated, stale := d.window.judge(e.ClientID)
		switch {
		case repeated:
			e.Outcome, e.Seq, e.Time = logic.Repeated, first.seq, first.time
			return
		case stale:
			e.Outcome, e.Code = logic.Refused, protocol.CodeStaleClientID
			return
		}
	}
	m := l.member(c, e.User)
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
	d.next.send(e.ClientID, e.Seq, before)
	c.changes(d)
	d.window.add(sent{e.ClientID, e.Seq, e.Time})
	l.work.known++
}

// ack carries out a PUSHACK.
func (l *Ledger) ack(c *conversation, d *device, e *logic.Entry) {
	m := l.member(c, e.User)
	before := c.delivered(m.next, nextAck)
	e.Seq = min(e.Seq, c.next.Head)
	e.Outcome = logic.Repeated
	if e.Seq > d.next.Acked {
		d.next.Acked, d.softNext = e.Seq, true
		c.changes(d)
		e.Outcome = logic.Applied
	}
	e.Delivered, e.Read = max(before, e.Seq), m.next.Read
	e.Rose = e.Delivered > before
}

// read carries out a READ. The counts as of its seq are known at the head; for
// any other they are looked up when somebody asks (Learn).
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
		m.touched, m.raised = true, false
		m.nextChanged, c.membersChanged = c.membersChanged, m
	}
	return m
}
