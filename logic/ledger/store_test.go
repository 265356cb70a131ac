package ledger_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"gannet/logic/ledger"
	"gannet/protocol"
)

var errInjected = errors.New("the store does not answer")

// store is a ledger.Source that keeps exactly what Changes say, as a mode of
// gannet does on disk. It fails where it is told to.
type store struct {
	checkpoint uint64
	talks      map[key]*stored

	fail        bool            // Load and Walk as a whole
	failTalks   map[key]bool    // Load of these
	failDevices map[origin]bool // Walk of these

	visited int // messages that walks came to

	before func() // called within Load and Walk: somebody reads meanwhile
	calls  calls
}

// calls says how a store was asked since the last reset, and what it denied.
type calls struct {
	loads, walks int
	loaded       []key
	walked       []lane
	failed       bool
	failedTalks  map[key]bool
	failedWalks  map[lane]bool
}

// lane is a device in a conversation.
type lane struct {
	key key
	by  origin
}

type stored struct {
	messages []storedMessage
	members  map[uint64]ledger.Member
	devices  map[origin]ledger.Device
}

type storedMessage struct {
	ledger.Message
	stamp uint64
}

func newStore(checkpoint uint64) *store {
	s := &store{checkpoint: checkpoint, talks: map[key]*stored{}}
	s.reset()
	return s
}

func (s *store) reset() {
	s.calls = calls{failedTalks: map[key]bool{}, failedWalks: map[lane]bool{}}
}

// commit keeps a change.
func (s *store) commit(change *ledger.Change) {
	for _, c := range change.Conversations {
		t := s.talks[c.Key]
		if t == nil {
			t = &stored{members: map[uint64]ledger.Member{}, devices: map[origin]ledger.Device{}}
			s.talks[c.Key] = t
		}
		for _, m := range change.Messages[c.Messages.Start:c.Messages.End] {
			if m.Seq != uint64(len(t.messages)+1) {
				failf("%v: seq %d is written as message %d", c.Key, m.Seq, len(t.messages)+1)
			}
			m.Payload = slices.Clone(m.Payload)
			t.messages = append(t.messages, storedMessage{m, change.Stamp})
		}
		for _, m := range change.Members[c.Members.Start:c.Members.End] {
			t.members[m.User] = m
		}
		for _, d := range change.Devices[c.Devices.Start:c.Devices.End] {
			t.devices[origin{d.User, d.Device}] = d
		}
		for _, d := range change.Gone[c.Gone.Start:c.Gone.End] {
			delete(t.devices, origin{d.User, d.Device})
		}
	}
}

func (s *store) meanwhile() {
	if s.before == nil {
		return
	}
	saved := *s
	s.before, s.fail, s.failTalks = nil, false, nil
	s.reset()
	saved.before()
	*s = saved
}

// Load implements ledger.Source.
func (s *store) Load(_ context.Context, list []*ledger.Loaded) error {
	s.calls.loads++
	s.meanwhile()
	if s.fail {
		s.calls.failed = true
		return errInjected
	}
	seen := map[key]bool{}
	for _, l := range list {
		if seen[l.Key] {
			failf("%v is loaded twice in one call", l.Key)
		}
		seen[l.Key] = true
		s.calls.loaded = append(s.calls.loaded, l.Key)
		if s.failTalks[l.Key] {
			s.calls.failedTalks[l.Key] = true
			l.Err = errInjected
			l.Head = 99 // means nothing
			continue
		}
		if t := s.talks[l.Key]; t != nil {
			t.load(l, s.checkpoint)
		}
	}
	return nil
}

func (t *stored) load(l *ledger.Loaded, checkpoint uint64) {
	if n := len(t.messages); n > 0 {
		newest := t.messages[n-1]
		m := decode(newest.Payload)
		l.Progress = ledger.Progress{Head: newest.Seq, Time: m.Time, Count: newest.Count, Changed: newest.stamp}
	}
	for _, user := range slices.Sorted(maps.Keys(t.members)) {
		m := t.members[user]
		l.Members, l.Changed = append(l.Members, m), max(l.Changed, m.Changed)
	}
	for _, o := range slices.SortedFunc(maps.Keys(t.devices), func(a, b origin) int {
		return cmp.Or(cmp.Compare(a.user, b.user), cmp.Compare(a.device, b.device))
	}) {
		d := t.devices[o]
		l.Devices, l.Changed = append(l.Devices, d), max(l.Changed, d.Changed)
	}
	for _, m := range t.messages[l.Head/checkpoint*checkpoint:] {
		message := decode(m.Payload)
		l.Replay(&message, m.Count, m.Own, m.stamp)
	}
}

// Walk implements ledger.Source.
func (s *store) Walk(_ context.Context, walks []*ledger.Walk) error {
	s.calls.walks++
	for _, w := range walks {
		s.calls.walked = append(s.calls.walked, lane{w.Key, origin{w.User, w.Device}})
	}
	s.meanwhile()
	if s.fail {
		s.calls.failed = true
		return errInjected
	}
	for _, w := range walks {
		o := origin{w.User, w.Device}
		if s.failDevices[o] {
			s.calls.failedWalks[lane{w.Key, o}] = true
			w.Visit(1<<40, w.From, 1, 0) // as far as it came means nothing
			w.Err = errInjected
			continue
		}
		t := s.talks[w.Key]
		for seq, more := w.From, true; more && seq != 0; {
			if t == nil || seq > uint64(len(t.messages)) {
				failf("%v: a walk of %v goes to message %d, which nobody wrote", w.Key, o, seq)
			}
			at := t.messages[seq-1]
			m := decode(at.Payload)
			if m.Sender != o.user || m.Device != o.device || m.Seq != seq {
				failf("%v: a walk of %v comes to a message of %d/%d with seq %d", w.Key, o, m.Sender, m.Device, m.Seq)
			}
			s.visited++
			more = w.Visit(m.ClientID, seq, m.Time, at.Previous)
			seq = at.Previous
		}
	}
	return nil
}

func decode(payload []byte) (m protocol.Message) {
	if err := m.Decode(payload); err != nil {
		failf("a message is damaged: %v", err)
	}
	return m
}

// mismatch is what a check of the player panics with.
type mismatch string

func failf(format string, args ...any) { panic(mismatch(fmt.Sprintf(format, args...))) }
