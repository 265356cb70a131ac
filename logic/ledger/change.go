package ledger

import (
	"math"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/protocol"
)

// Change is what has to be written for the batches of one Apply. Its lists are
// used again after Settle or Abandon.
type Change struct {
	Stamp         uint64
	Conversations []Changed // each once, in no order
	Messages      []Message
	Members       []Member
	Devices       []Device
	Gone          []Device // what is kept of them is to be removed

	now uint64
}

// Changed is a conversation that changes. Its messages are in rising order.
type Changed struct {
	Key                              protocol.Conversation
	Before, After                    Progress
	Messages, Members, Devices, Gone hop.Span // in the lists of the Change
}

// Message is a new message.
type Message struct {
	Seq      uint64
	Previous uint64 // seq of the message that its device had sent before, 0: none
	Count    uint64 // messages of the conversation up to it that count as unread
	Own      uint64 // those of them by its sender
	Payload  []byte // an encoded protocol.Message
}

func (c *Change) begin(in Input) {
	*c = Change{
		Stamp: in.Stamp, now: in.Now,
		Conversations: c.Conversations[:0], Messages: c.Messages[:0],
		Members: c.Members[:0], Devices: c.Devices[:0], Gone: c.Gone[:0],
	}
}

// Empty says that nothing has to be written.
func (c *Change) Empty() bool { return len(c.Messages)+len(c.Members)+len(c.Devices)+len(c.Gone) == 0 }

// Highest gives the highest seq that the change gives out, 0 for none.
func (c *Change) Highest() (seq uint64) {
	for i := range c.Conversations {
		if x := &c.Conversations[i]; x.After.Head != x.Before.Head {
			seq = max(seq, x.After.Head)
		}
	}
	return seq
}

// collect fills the change with what the batches did.
func (l *Ledger) collect(in Input) {
	w := &l.work
	room := l.repay(in)
	for _, c := range w.touched {
		from := w.change.ends()
		for i := c.first; i >= 0; i = w.steps[i].next {
			s := &w.steps[i]
			w.change.Messages = append(w.change.Messages, Message{
				Seq: s.entry.Seq, Previous: s.previous, Count: s.count, Own: s.own,
				Payload: s.blob[s.entry.Frame.Start+protocol.HeaderSize : s.entry.Frame.End],
			})
		}
		// A load replays the messages since the last checkpoint upon what is written, so
		// a checkpoint writes everything that they changed.
		all := c.repaid || c.shown.Head/l.options.Checkpoint != c.next.Head/l.options.Checkpoint
		if all {
			left := &room
			if c.repaid {
				left = &c.room
			}
			for _, d := range c.devices {
				switch {
				case d.next == d.written || d.gone:
				case !d.onlyAcked():
					w.write(c, d)
				case *left > 0:
					*left--
					w.write(c, d)
				}
			}
			for _, m := range c.members {
				if m.next != m.written {
					w.writeMember(m)
				}
			}
		} else {
			for m := c.membersChanged; m != nil; m = m.nextChanged {
				if m.raised {
					w.writeMember(m)
				}
			}
		}
		for d := c.devicesGone; d != nil; d = d.nextChanged {
			w.change.Gone = append(w.change.Gone, d.next)
		}
		if to := w.change.ends(); to != from {
			w.change.Conversations = append(w.change.Conversations, Changed{
				Key: c.key, Before: c.shown, After: c.next,
				Messages: hop.Span{Start: from[0], End: to[0]},
				Members:  hop.Span{Start: from[1], End: to[1]},
				Devices:  hop.Span{Start: from[2], End: to[2]},
				Gone:     hop.Span{Start: from[3], End: to[3]},
			})
		}
	}
}

// repay chooses whose acks the record takes along because they are due, the oldest first,
// and gives for how many others there is room. The acks of devices that send have their
// room before that. Of a conversation with more than there is room for some are written, and
// it stays the first that owes.
func (l *Ledger) repay(in Input) (room int) {
	w := &l.work
	if room = in.Room; room == 0 {
		room = math.MaxInt
	}
	for _, c := range w.touched {
		for d := c.devicesChanged; d != nil; d = d.nextChanged {
			if d.softNext && d.next.Acked != d.written.Acked && !d.onlyAcked() {
				room--
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for w.repaid < maxRepaid && l.due(in.Now, in.Acks, w.repaid) || in.Acks && w.repaid < len(l.owed) {
		c := l.owed[w.repaid]
		wait := c.acks()
		if wait > 0 && room <= 0 {
			break
		}
		w.touch(c)
		c.repaid, c.room = true, min(wait, room)
		if room -= c.room; c.room < wait {
			break
		}
		w.repaid++
	}
	return room
}

// ends gives how long the lists of messages, members and devices are.
func (c *Change) ends() [4]uint32 {
	return [4]uint32{uint32(len(c.Messages)), uint32(len(c.Members)), uint32(len(c.Devices)), uint32(len(c.Gone))}
}

func (w *work) writeMember(m *member) {
	w.change.Members = append(w.change.Members, m.next)
	w.wroteMembers = append(w.wroteMembers, m)
}

func (w *work) write(c *conversation, d *device) {
	if d.softNext && d.next.Acked != d.written.Acked {
		d.next.Changed, c.next.Changed = w.change.Stamp, w.change.Stamp
		c.changes(d)
	}
	w.change.Devices = append(w.change.Devices, d.next)
	w.wroteDevices = append(w.wroteDevices, d)
}

// Record fills in what the last Apply hands onward to the queue, and comes before
// Settle: an entry for each message and each READ that was applied, in order, and
// one for each ack that is written and that no message shows. The memory of Entries is
// used again.
func (l *Ledger) Record(batches []*logic.Batch, record *hop.Record) {
	w := &l.work
	record.Queue, record.Time = l.options.Queue, w.change.now
	record.Entries = record.Entries[:0]
	record.Blob = batchBlob(batches)
	base, at := uint32(0), 0
	for _, b := range batches {
		for i := range b.Entries {
			s, e := &w.steps[at], &b.Entries[i]
			at++
			if e.Outcome != logic.Applied || e.Op == hop.OpAck {
				continue
			}
			if e.Op == hop.OpMessage && s.conversation.first == at-1 {
				announceHole(record, s.conversation, e.Seq)
			}
			r := hop.RecordEntry{Op: e.Op, Conversation: e.Conversation, User: e.User, Device: e.Device, Seq: e.Seq}
			switch e.Op {
			case hop.OpMessage:
				r.N, r.Own = s.count, s.own
				r.Frame = hop.Span{Start: base + e.Frame.Start, End: base + e.Frame.End}
				if e.Silent {
					r.Flags |= hop.FlagSilent
				}
			case hop.OpRead:
				if i, found := s.conversation.findMember(e.User); found {
					if m := &s.conversation.members[i].next; m.Counted && m.Read == e.Seq {
						r.Flags, r.N, r.Own = hop.FlagCounted, m.Count, m.Own
					}
				}
			}
			record.Entries = append(record.Entries, r)
		}
		base += uint32(len(b.Blob))
	}
	for _, c := range w.change.Conversations {
		for i := c.Devices.Start; i < c.Devices.End; i++ {
			d := &w.change.Devices[i]
			if x := w.wroteDevices[i]; !x.softNext || d.Acked == x.written.Acked {
				continue // its messages say so
			}
			record.Entries = append(record.Entries, hop.RecordEntry{
				Op: hop.OpAck, Conversation: c.Key, User: d.User, Device: d.Device, Seq: d.Acked,
			})
		}
		for _, d := range w.change.Gone[c.Gone.Start:c.Gone.End] {
			record.Entries = append(record.Entries, hop.RecordEntry{
				Op: hop.OpGone, Conversation: c.Key, User: d.User, Device: d.Device, Seq: d.Acked,
			})
		}
	}
}

// batchBlob gives the blobs of the batches one behind the other, without a copy
// where there is one.
func batchBlob(batches []*logic.Batch) []byte {
	if len(batches) == 1 {
		return batches[0].Blob
	}
	var blob []byte
	for _, b := range batches {
		blob = append(blob, b.Blob...)
	}
	return blob
}
