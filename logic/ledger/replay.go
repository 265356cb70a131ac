package ledger

import (
	"cmp"
	"fmt"
	"slices"

	"gannet/internal/hop"
	"gannet/protocol"
)

// States are conversations on which records are replayed, each as it was before the next
// one. A conversation that nobody wrote to is there and empty.
type States map[protocol.Conversation]*Loaded

// Lacks gives the conversations of a record that are not there, each once.
func (s States) Lacks(record *hop.Record) (keys []protocol.Conversation) {
	for i := range record.Entries {
		if k := record.Entries[i].Conversation; s[k] == nil && !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

// Replay brings the states forward by a record of the queue, all of whose conversations
// are there, and fills in the Change that the record made when it was written by a ledger
// with Checkpoint 1: a view that took part of the queue in goes on with it. What is in a
// state already stays as it is, so it may be newer than the record. What only memory knew,
// counts that were learned, is not in it. After an error the states mean nothing.
func (s States) Replay(record *hop.Record, stamp uint64, change *Change) error {
	change.begin(Input{Stamp: stamp, Now: record.Time})
	talks := make(map[protocol.Conversation]*replayed, len(record.Entries))
	var order []*replayed
	for i := range record.Entries {
		e := &record.Entries[i]
		t := talks[e.Conversation]
		if t == nil {
			l := s[e.Conversation]
			if l == nil || l.Err != nil {
				return fmt.Errorf("ledger: %v is replayed without being loaded", e.Conversation)
			}
			t = &replayed{state: l, before: l.Progress}
			talks[e.Conversation] = t
			order = append(order, t)
		}
		if err := t.entry(e, record.Bytes(i), stamp); err != nil {
			return err
		}
	}
	for _, t := range order {
		t.collect(change)
	}
	return nil
}

// replayed is a conversation of a record that is replayed.
type replayed struct {
	state    *Loaded
	before   Progress
	messages []Message
	users    []uint64    // who changes
	devices  [][2]uint64 // user and device
	gone     []Device
}

func (t *replayed) entry(e *hop.RecordEntry, frame []byte, stamp uint64) error {
	l := t.state
	switch e.Op {
	case hop.OpMessage:
		var m protocol.Message
		if len(frame) < protocol.HeaderSize || m.Decode(frame[protocol.HeaderSize:]) != nil || m.Seq != e.Seq {
			return fmt.Errorf("ledger: seq %d of %v is no message", e.Seq, e.Conversation)
		}
		before := l.Head
		member, d := t.member(e.User), t.device(e.User, e.Device)
		member.Total = max(member.Total, e.Own)
		previous := d.Last
		if e.Seq > d.Last {
			d.send(m.ClientID, e.Seq, m.Time, min(before, e.Seq-1))
		}
		if e.Seq > l.Head {
			l.Progress = Progress{Head: e.Seq, Time: m.Time, Count: e.N, Changed: stamp}
			t.messages = append(t.messages, Message{Seq: e.Seq, Previous: previous, Count: e.N, Own: e.Own, Payload: frame[protocol.HeaderSize:]})
		}
	case hop.OpRead:
		if m := t.member(e.User); e.Seq > m.Read {
			m.Read, m.Delivered, m.Changed = e.Seq, max(m.Delivered, e.Seq), stamp
			m.Counted, m.Count, m.Own = e.Flags&hop.FlagCounted != 0, e.N, e.Own
			l.Changed = max(l.Changed, stamp)
		}
	case hop.OpAck:
		if d := t.device(e.User, e.Device); e.Seq > d.Acked {
			d.Acked, d.Changed = e.Seq, stamp
			l.Changed = max(l.Changed, stamp)
		}
	case hop.OpGone:
		m := t.member(e.User)
		m.Delivered = max(m.Delivered, e.Seq)
		if i, found := l.findDevice(e.User, e.Device); found {
			m.Changed = max(m.Changed, l.Devices[i].Changed)
			t.gone = append(t.gone, l.Devices[i])
			l.Devices = slices.Delete(l.Devices, i, i+1)
		}
	}
	return nil
}

// member gives a user's state, which changes.
func (t *replayed) member(user uint64) *Member {
	if !slices.Contains(t.users, user) {
		t.users = append(t.users, user)
	}
	l := t.state
	i, found := l.findMember(user)
	if !found {
		l.Members = slices.Insert(l.Members, i, Member{User: user})
	}
	return &l.Members[i]
}

// device gives a device's state, which changes.
func (t *replayed) device(user, id uint64) *Device {
	if x := [2]uint64{user, id}; !slices.Contains(t.devices, x) {
		t.devices = append(t.devices, x)
	}
	l := t.state
	i, found := l.findDevice(user, id)
	if !found {
		l.Devices = slices.Insert(l.Devices, i, Device{User: user, Device: id})
	}
	return &l.Devices[i]
}

// collect adds what changed to the change.
func (t *replayed) collect(change *Change) {
	from := change.ends()
	change.Messages = append(change.Messages, t.messages...)
	for _, user := range t.users {
		if i, found := t.state.findMember(user); found {
			change.Members = append(change.Members, t.state.Members[i])
		}
	}
	for _, x := range t.devices {
		if i, found := t.state.findDevice(x[0], x[1]); found {
			change.Devices = append(change.Devices, t.state.Devices[i])
		}
	}
	for _, d := range t.gone {
		if _, back := t.state.findDevice(d.User, d.Device); !back {
			change.Gone = append(change.Gone, d)
		}
	}
	to := change.ends()
	if to == from || t.state.Head == 0 {
		return
	}
	change.Conversations = append(change.Conversations, Changed{
		Key: t.state.Key, Before: t.before, After: t.state.Progress,
		Messages: hop.Span{Start: from[0], End: to[0]},
		Members:  hop.Span{Start: from[1], End: to[1]},
		Devices:  hop.Span{Start: from[2], End: to[2]},
		Gone:     hop.Span{Start: from[3], End: to[3]},
	})
}

func (l *Loaded) findMember(user uint64) (int, bool) {
	return slices.BinarySearchFunc(l.Members, user, func(m Member, user uint64) int { return cmp.Compare(m.User, user) })
}

func (l *Loaded) findDevice(user, id uint64) (int, bool) {
	return slices.BinarySearchFunc(l.Devices, id, func(d Device, id uint64) int {
		return cmp.Or(cmp.Compare(d.User, user), cmp.Compare(d.Device, id))
	})
}
