package ledger

import (
	"cmp"
	"slices"
	"time"

	"gannet/protocol"
)

// Progress is how far a conversation has come.
type Progress struct {
	Head    uint64 // its highest seq
	Time    uint64 // of the newest message, Unix milliseconds
	Count   uint64 // messages up to Head that count as unread
	Changed uint64 // the stamp under which a message came or a cursor rose last
}

// Member is a user in a conversation.
type Member struct {
	User      uint64
	Delivered uint64 // what READ raised it to; acks of devices count as well
	Read      uint64
	Total     uint64 // messages by User up to the head that count

	// Count and Own are, if Counted, how many messages up to Read count, and how
	// many of those User sent.
	Counted    bool
	Count, Own uint64

	Changed uint64 // the stamp under which one of its cursors rose last

	replayed bool // only while loading: messages say more than what is written
}

// fits says whether counts as of the read cursor can be where all of the conversation is all.
func (m *Member) fits(all, count, own uint64) bool {
	return own <= count && count <= all && own <= m.Total && all-count >= m.Total-own
}

// Device is a device that has sent to a conversation or acked in it.
type Device struct {
	User, Device uint64
	MaxID        uint64 // the highest client id accepted
	Last         uint64 // seq of its newest message
	Acked        uint64 // it has everything up to here
	Changed      uint64 // the stamp under which Acked was written last
	Time         uint64 // of its newest message, Unix milliseconds

	replayed bool // as in Member
}

// conversation is what the ledger knows of one. What is named next is as the
// batch under way leaves it and belongs to the writer; what is shown is as readers
// see it, written by the writer under Ledger.mu.
type conversation struct {
	key         protocol.Conversation
	next, shown Progress
	members     []*member // by user; written under mu
	devices     []*device // by user and device; written under mu
	since       uint64    // when it began to owe, Unix milliseconds
	guest       bool      // is in Ledger.guests; written under mu

	// What the batch under way does. The writer's own.
	touched        bool // is in work.touched
	sends          bool // a message to it is in the batch
	repaid         bool // what it owes is written: all of it, or as many acks as room says
	room           int
	first, last    int // of its new messages, as a list through work.steps; -1: none
	membersChanged *member
	devicesChanged *device
	devicesGone    *device
}

// endBatch ends a batch for the conversation.
func (c *conversation) endBatch() {
	c.touched, c.sends, c.repaid, c.first, c.last = false, false, false, -1, -1
	c.membersChanged, c.devicesChanged, c.devicesGone = nil, nil, nil
}

type member struct {
	next, shown, written Member

	touched     bool          // is in conversation.membersChanged
	raised      bool          // by an OpRead of the batch, or by a device that goes, so it is written with it
	limited     time.Duration // a message of the batch was refused for so long, and so is what comes behind it
	nextChanged *member
}

type device struct {
	next, shown, written Device

	touched bool // is in conversation.devicesChanged

	// A PUSHACK raised Acked and is not written: no message shows it to a load. The
	// first is as the batch under way leaves it.
	softNext, soft bool

	// Of the batch under way, from its first entry of the device on. The writer's own.
	batch   uint64 // number of the last batch that has the device
	highest uint64 // while the batch is looked through: MaxID after its entries so far
	wanted  uint64 // where an id cannot be judged, the lowest one that was refused
	held    bool   // a message was refused busy, and with it all behind it
	unread  bool   // what its window lacks could not be read
	gone    bool   // it has to make room for another device
	fresh   bool   // the batch added it

	nextChanged *device // in conversation.devicesChanged or devicesGone

	window    *window // nil: it has not sent since it was loaded, or its window had to make room
	recalling bool    // there is a recall of it
	failed    bool    // the last one could not be read
}

func (c *conversation) findMember(user uint64) (int, bool) {
	return slices.BinarySearchFunc(c.members, user, func(m *member, user uint64) int {
		return cmp.Compare(m.next.User, user)
	})
}

// Loaded is a conversation as a Source reads it.
type Loaded struct {
	Key protocol.Conversation
	Err error // it cannot be read; the rest means nothing then

	Progress
	Members []Member // rising by user, each once
	Devices []Device // rising by user and device, each once
}

// Replay takes in a message that is newer than the members and devices were
// written; messages come in rising order.
func (l *Loaded) Replay(m *protocol.Message, count, own, stamp uint64) {
	l.Progress = Progress{Head: m.Seq, Time: m.Time, Count: count, Changed: max(l.Changed, stamp)}
	i, found := slices.BinarySearchFunc(l.Members, m.Sender, func(m Member, user uint64) int { return cmp.Compare(m.User, user) })
	if !found {
		l.Members = slices.Insert(l.Members, i, Member{User: m.Sender})
	}
	l.Members[i].Total, l.Members[i].replayed = own, true
	i, found = slices.BinarySearchFunc(l.Devices, m.Device, func(d Device, id uint64) int {
		return cmp.Or(cmp.Compare(d.User, m.Sender), cmp.Compare(d.Device, id))
	})
	if !found {
		l.Devices = slices.Insert(l.Devices, i, Device{User: m.Sender, Device: m.Device})
	}
	if d := &l.Devices[i]; m.Seq > d.Last { // else the record of the device has it, and whether it raised the ack
		d.send(m.ClientID, m.Seq, m.Time, m.Seq-1) // what jumped to above a floor was a checkpoint
		d.replayed = true
	}
}

// send notes a message that the device sent and that got seq and time, right after the one
// with the seq before: what lies between them will never exist.
func (d *Device) send(id, seq, time, before uint64) {
	d.MaxID, d.Last, d.Time = max(d.MaxID, id), seq, time
	if d.Acked == before {
		d.Acked = seq
	}
}

// conversation makes what the ledger keeps of it.
func (l *Loaded) conversation() *conversation {
	c := &conversation{key: l.Key, next: l.Progress, shown: l.Progress, first: -1, last: -1}
	members, devices := make([]member, len(l.Members)), make([]device, len(l.Devices))
	c.members, c.devices = make([]*member, len(members)), make([]*device, len(devices))
	for i, m := range l.Members {
		written := m
		if m.replayed {
			m.replayed, written = false, Member{Counted: m.Counted} // a total alone is not owing
		}
		members[i] = member{next: m, shown: m, written: written}
		c.members[i] = &members[i]
	}
	for i, d := range l.Devices {
		written := d
		if d.replayed {
			d.replayed, written = false, Device{}
		}
		devices[i] = device{next: d, shown: d, written: written}
		c.devices[i] = &devices[i]
	}
	return c
}

func (c *conversation) insertMember(i int, m *member) { c.members = slices.Insert(c.members, i, m) }
