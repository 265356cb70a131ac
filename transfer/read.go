package transfer

import (
	"gannet/internal/hop"
	"gannet/protocol"
)

// read finds the entries of a record that have a frame to push. Entries that cannot be read must
// not hold up the queue: they are counted and kept where an operator can see them. Their messages
// stay in the store, where SYNC finds them. If parks is true, the record is from a queue, and an
// unreadable one is also parked.
func (r *router) read(record *hop.Record, parks bool) {
	r.entries = r.entries[:0]
	if len(record.Entries) == 0 && len(record.Blob) > 0 {
		r.unreadable(record, wholeRecord, badRecord, parks)
	}
	for i := range record.Entries {
		reason, push := check(record, &record.Entries[i])
		if reason >= 0 {
			r.unreadable(record, i, reason, parks)
		} else if push {
			r.entries = append(r.entries, i)
		}
	}
	r.server.counters.frames.Add(uint64(len(r.entries)))
}

func (r *router) unreadable(record *hop.Record, entry, reason int, parks bool) {
	if parks {
		r.server.park(record.Queue, record.Mark, "unreadable "+unreadableReasons[reason])
	}
	if r.server.unreadable.note(record, entry, reason) {
		r.server.config.Log.Error("transfer: what a record holds cannot be read", "queue", record.Queue, "mark", record.Mark, "entry", entry, "reason", unreadableReasons[reason])
	}
}

// check says why an entry cannot be read (-1: it can), and whether it has a frame
// to be pushed.
func check(record *hop.Record, e *hop.RecordEntry) (reason int, push bool) {
	var want protocol.Type
	switch e.Op {
	case hop.OpMessage:
		want = protocol.TypePush
	case hop.OpReceipt:
		want = protocol.TypeReceipt
	case hop.OpHole:
		want = protocol.TypeHole
	case hop.OpRead, hop.OpAck, hop.OpGone:
		return -1, false
	}
	if e.Frame.Start > e.Frame.End || uint64(e.Frame.End) > uint64(len(record.Blob)) {
		return badBounds, false
	}
	if want == 0 {
		return badOp, false
	}
	raw := record.Blob[e.Frame.Start:e.Frame.End]
	f, n, err := protocol.Split(raw, protocol.MaxFrame)
	if err != nil || n == 0 || n != len(raw) || f.Type != want {
		return badFrame, false
	}
	if members(e.Conversation) == [2]uint64{} {
		return badConversation, false
	}
	return -1, true
}

// Receivers appends the users whose devices get frames of the record, each as often as it gets
// one. It is for queues that have more than one record at once.
func Receivers(record *hop.Record, dst []uint64) []uint64 {
	for i := range record.Entries {
		e := &record.Entries[i]
		if reason, push := check(record, e); reason >= 0 || !push {
			continue
		}
		for _, user := range receivers(e) {
			if user != 0 {
				dst = append(dst, user)
			}
		}
	}
	return dst
}

// receivers gives the users whose devices get the frame of an entry; 0 is nobody.
func receivers(e *hop.RecordEntry) [2]uint64 {
	users := members(e.Conversation)
	if e.Op == hop.OpHole { // its frame names the conversation as only this user does
		for i, user := range users {
			if user != e.User {
				users[i] = 0
			}
		}
	}
	return users
}

// members gives the users who are entitled to the messages of a conversation; 0 is nobody.
func members(c protocol.Conversation) [2]uint64 {
	switch {
	case c.Kind == protocol.KindDirect && c.A != c.B:
		return [2]uint64{c.A, c.B}
	case c.Kind == protocol.KindDirect, c.Kind == protocol.KindSystem:
		return [2]uint64{c.A}
	default:
		return [2]uint64{}
	}
}
