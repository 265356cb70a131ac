package ledger_test

import (
	"maps"
	"slices"
	"time"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// The model is what ports.go and section 2 of the design promise, in the plainest
// way: it keeps every message for ever, looks through all of them for a retry, and
// counts what is unread anew whenever somebody asks.

type key = protocol.Conversation

// origin is the device of a user that makes a change.
type origin struct{ user, device uint64 }

// said is a message of the model; the one at index i has seq i+1.
type said struct {
	by       origin
	id, time uint64
	silent   bool

	count, own uint64 // messages up to it that count as unread, and those of them by its user
}

// talk is a conversation of the model.
type talk struct {
	messages []said
	newestOf map[origin][2]uint64
	read     map[uint64]uint64
	counted  map[uint64]bool // the counts as of the read cursor are known
	acked    map[origin]uint64
	changed  uint64 // stamp of the last change that is written

	raisedAt  map[uint64]uint64 // by user: stamp of the last READ that raised a cursor
	writtenAt map[origin]uint64 // by device: stamp under which a new ack was written last

	// What a crash leaves: acks as they were written last, raised by the device's own
	// messages since, and whether counts were written.
	kept        map[origin]uint64
	keptCounted map[uint64]bool

	// Acks and counts that are not written make the conversation owe since then.
	written map[origin]uint64
	owes    bool
	since   uint64

	room   map[origin]int    // a device that made room: its messages so far are not remembered
	floor  map[uint64]uint64 // by user: what such devices had acked
	record record
}

// record is what the record under way has to do with a conversation.
type record struct {
	head    uint64          // before it
	named   map[origin]bool // devices that send or ack in it
	limited map[uint64]bool // users who were told to wait
	gone    []origin        // devices that make room
	raised  map[uint64]bool // users whose cursor keeps what such a device had acked
	rules   *rules
}

// rules are those of a game.
type rules struct {
	checkpoint uint64
	devices    int
	admit      func(user uint64) (wait time.Duration) // asks what the ledger was told
}

func newTalk() *talk {
	return &talk{
		newestOf: map[origin][2]uint64{},
		read:     map[uint64]uint64{}, counted: map[uint64]bool{}, acked: map[origin]uint64{},
		raisedAt: map[uint64]uint64{}, writtenAt: map[origin]uint64{},
		kept: map[origin]uint64{}, keptCounted: map[uint64]bool{}, written: map[origin]uint64{},
		room: map[origin]int{}, floor: map[uint64]uint64{},
	}
}

func (t *talk) clone() *talk {
	c := *t
	c.messages, c.newestOf = slices.Clip(t.messages), maps.Clone(t.newestOf)
	c.read, c.counted, c.acked = maps.Clone(t.read), maps.Clone(t.counted), maps.Clone(t.acked)
	c.raisedAt, c.writtenAt = maps.Clone(t.raisedAt), maps.Clone(t.writtenAt)
	c.kept, c.keptCounted, c.written = maps.Clone(t.kept), maps.Clone(t.keptCounted), maps.Clone(t.written)
	c.room, c.floor, c.record = maps.Clone(t.room), maps.Clone(t.floor), record{}
	return &c
}

func (t *talk) head() uint64 { return uint64(len(t.messages)) }

// count gives how many messages up to seq count as unread.
func (t *talk) count(seq uint64) uint64 {
	if seq == 0 {
		return 0
	}
	return t.messages[seq-1].count
}

// own gives how many of those are by the user.
func (t *talk) own(user, seq uint64) uint64 {
	for ; seq > 0; seq-- {
		if m := t.messages[seq-1]; m.by.user == user {
			return m.own
		}
	}
	return 0
}

// unread gives how many messages by others after the read cursor count.
func (t *talk) unread(user uint64) (n uint64) {
	for _, m := range t.messages[t.read[user]:] {
		if !m.silent && m.by.user != user {
			n++
		}
	}
	return n
}

func (t *talk) delivered(user uint64) uint64 {
	at := max(t.read[user], t.floor[user])
	for o, acked := range t.acked {
		if o.user == user {
			at = max(at, acked)
		}
	}
	return at
}

// newest gives the highest client id of a device and the seq of its last message.
func (t *talk) newest(o origin) (maxID, last uint64) { return t.newestOf[o][0], t.newestOf[o][1] }

// progress is the conversation as the ledger should describe it.
func (t *talk) progress() ledger.Progress {
	p := ledger.Progress{Head: t.head(), Count: t.count(t.head()), Changed: t.changed}
	if p.Head > 0 {
		p.Time = t.messages[p.Head-1].time
	}
	return p
}

// member is a user as the ledger should write it; for readers the acks of the
// user's devices count as delivered.
func (t *talk) member(user uint64) ledger.Member {
	m := ledger.Member{
		User: user, Delivered: max(t.read[user], t.floor[user]), Read: t.read[user], Total: t.own(user, t.head()), Changed: t.raisedAt[user],
	}
	if t.counted[user] {
		m.Counted, m.Count, m.Own = true, t.count(m.Read), t.own(user, m.Read)
	}
	return m
}

// device is a device as the ledger should write it.
func (t *talk) device(o origin) ledger.Device {
	maxID, last := t.newest(o)
	d := ledger.Device{User: o.user, Device: o.device, MaxID: maxID, Last: last, Acked: t.acked[o], Changed: t.writtenAt[o]}
	if last > 0 {
		d.Time = t.messages[last-1].time
	}
	return d
}

// carryOut does an entry, given as it went to the ledger, and gives how it should
// come back. An id that is older than the device's window may be refused or not; got
// says which the ledger chose.
func (t *talk) carryOut(e logic.Entry, got logic.Outcome, stamp, now uint64) logic.Entry {
	switch e.Op {
	case hop.OpMessage:
		t.send(&e, got, stamp, now)
		return e
	case hop.OpAck:
		o := origin{e.User, e.Device}
		before := t.delivered(e.User)
		if min(e.Seq, t.head()) > 0 && !t.makeRoom(o, now) {
			e.Outcome, e.Code = logic.Refused, protocol.CodeTooManyDevices
			return e
		}
		e.Seq, e.Outcome = min(e.Seq, t.head()), logic.Repeated
		if e.Seq > t.acked[o] {
			t.acked[o], e.Outcome = e.Seq, logic.Applied
		}
		e.Rose = t.delivered(e.User) > before
	case hop.OpRead:
		e.Seq, e.Outcome = min(e.Seq, t.head()), logic.Repeated
		if e.Seq > t.read[e.User] {
			t.read[e.User], e.Outcome, e.Rose = e.Seq, logic.Applied, true
			t.counted[e.User] = e.Seq == t.head()
			t.raisedAt[e.User], t.changed = stamp, stamp
		}
	}
	e.Delivered, e.Read = t.delivered(e.User), t.read[e.User]
	return e
}

func (t *talk) send(e *logic.Entry, got logic.Outcome, stamp, now uint64) {
	o := origin{e.User, e.Device}
	maxID, _ := t.newest(o)
	higher := 0 // messages of the device with higher ids, of a retry those that came after it
	for i := len(t.messages) - 1; i >= t.room[o] && e.ClientID <= maxID; i-- {
		m := t.messages[i]
		if m.by != o {
			continue
		}
		if m.id == e.ClientID {
			e.Outcome, e.Seq, e.Time = logic.Repeated, uint64(i+1), m.time
			if higher >= protocol.MaxUnacked && got == logic.Refused {
				e.Outcome, e.Code, e.Seq, e.Time = logic.Refused, protocol.CodeStaleClientID, 0, 0
			}
			return
		}
		if m.id > e.ClientID {
			higher++
		}
	}
	if higher >= protocol.MaxUnacked && got == logic.Refused {
		e.Outcome, e.Code = logic.Refused, protocol.CodeStaleClientID
		return
	}
	if t.record.limited[e.User] || t.head() == 0 && e.User != 0 {
		if wait := t.wait(e.User); wait > 0 {
			e.Outcome, e.Code, e.RetryAfter = logic.Refused, protocol.CodeRateLimited, wait
			return
		}
	}
	if !t.makeRoom(o, now) {
		e.Outcome, e.Code = logic.Refused, protocol.CodeTooManyDevices
		return
	}
	if h := t.head(); h > 0 {
		now = max(now, t.messages[h-1].time)
	}
	m := said{by: o, id: e.ClientID, time: now, silent: e.Silent, count: t.count(t.head()), own: t.own(e.User, t.head())}
	if !e.Silent {
		m.count, m.own = m.count+1, m.own+1
	}
	t.messages = append(t.messages, m)
	t.newestOf[o] = [2]uint64{max(maxID, m.id), t.head()}
	e.Outcome, e.Seq, e.Time = logic.Applied, t.head(), now
	if e.Seq == t.acked[o]+1 {
		t.acked[o] = e.Seq
	}
	t.changed = stamp
}

// write takes in what the change keeps of the conversation, of which from was the
// head before.
func (t *talk) write(from uint64, members []ledger.Member, devices []ledger.Device) {
	for i, m := range t.messages[from:] {
		if seq := from + uint64(i) + 1; seq == t.kept[m.by]+1 {
			t.kept[m.by] = seq
		}
	}
	for _, m := range members {
		t.keptCounted[m.User] = m.Counted
	}
	for _, d := range devices {
		o := origin{d.User, d.Device}
		t.kept[o], t.written[o] = d.Acked, d.Acked
	}
}

// replayed gives what is kept of a device's ack once the messages behind from are.
func (t *talk) replayed(o origin, from uint64) uint64 {
	kept := t.kept[o]
	for i, m := range t.messages[from:] {
		if seq := from + uint64(i) + 1; m.by == o && seq == kept+1 {
			kept = seq
		}
	}
	return kept
}

// unwritten says whether something waits to be written that a crash would forget.
func (t *talk) unwritten() bool {
	for o, acked := range t.acked {
		if acked != t.kept[o] {
			return true
		}
	}
	for user, counted := range t.counted {
		if counted != t.keptCounted[user] {
			return true
		}
	}
	return false
}

// crash forgets what is not written.
func (t *talk) crash() {
	t.acked, t.written, t.counted = maps.Clone(t.kept), maps.Clone(t.kept), maps.Clone(t.keptCounted)
	t.owes = false
}
