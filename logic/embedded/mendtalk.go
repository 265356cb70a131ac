package embedded

import (
	"encoding/binary"

	"gannet/logic/ledger"
	"gannet/protocol"
)

// mendTalk is a conversation of which something may be lost. Its messages are gone
// through first, in order, then the records of members and devices.
//
// What is made to fit: no cursor is past the head. A device's record names its newest
// message that is there, each message the one of its device before it, so that
// retries find them. Running counts stay as they are, lost messages included: unread
// may count those until the user reads on.
type mendTalk struct {
	place   place
	key     protocol.Conversation
	head    uint64
	count   uint64 // as of the head
	sender  uint64 // of the message at the head
	own     uint64 // the sender's count
	members map[uint64]*mendMember
	devices map[mendID]*mendDevice
}

type mendID struct{ user, device uint64 }

type mendMember struct {
	ledger.Member        // as it is written, if it is there
	there         bool   // it is written
	own           uint64 // of the user's newest message
}

type mendDevice struct {
	ledger.Device // likewise
	there         bool
	last, maxID   uint64 // of the messages
}

// newMendTalk begins with the conversation whose place the bytes begin with.
func newMendTalk(at []byte) *mendTalk {
	t := &mendTalk{members: make(map[uint64]*mendMember), devices: make(map[mendID]*mendDevice)}
	copy(t.place[:], at)
	t.key = protocol.Conversation{Kind: protocol.Kind(at[1]), A: binary.BigEndian.Uint64(at[2:]), B: binary.BigEndian.Uint64(at[10:])}
	return t
}

func (t *mendTalk) member(user uint64) *mendMember {
	if t.members[user] == nil {
		t.members[user] = &mendMember{Member: ledger.Member{User: user}}
	}
	return t.members[user]
}

func (t *mendTalk) device(user, id uint64) *mendDevice {
	at := mendID{user, id}
	if t.devices[at] == nil {
		t.devices[at] = &mendDevice{Device: ledger.Device{User: user, Device: id}}
	}
	return t.devices[at]
}

// sent takes the next message, and gives the seq of the one that its device sent
// before, 0 if none is there.
func (t *mendTalk) sent(m *stored) (before uint64) {
	t.head, t.count, t.sender, t.own = m.Seq, m.links.count, m.Sender, m.links.own
	t.member(m.Sender).own = m.links.own
	d := t.device(m.Sender, m.Device)
	before = d.last
	d.last, d.maxID = m.Seq, max(d.maxID, m.ClientID)
	return before
}

// fitDevice gives the record of a device as it has to be.
func (t *mendTalk) fitDevice(x *mendDevice) ledger.Device {
	d := x.Device
	d.Last, d.MaxID, d.Acked = x.last, max(d.MaxID, x.maxID), min(d.Acked, t.head)
	return d
}

// fitMember gives the record of a member as it has to be.
func (t *mendTalk) fitMember(x *mendMember) ledger.Member {
	m := x.Member
	m.Total = t.total(x)
	past := m.Read > t.head
	m.Read, m.Delivered = min(m.Read, t.head), min(m.Delivered, t.head)
	if past || m.Counted && (m.Count > t.count || m.Own > m.Total || m.Total-m.Own > t.count-m.Count) {
		m.Counted, m.Count, m.Own = false, 0, 0 // they are looked up
		if m.Read == t.head && m.Read > 0 {
			m.Counted, m.Count, m.Own = true, t.count, m.Total
		}
	}
	return m
}

// total gives how many messages of a member count up to the head. In a conversation
// of two the newest message tells it of both.
func (t *mendTalk) total(x *mendMember) uint64 {
	switch others := t.count - t.own; {
	case x.User == t.sender:
		return t.own
	case t.key.Kind == protocol.KindDirect:
		return others
	default:
		return max(x.own, min(x.Total, others))
	}
}
