//go:build cluster

package view_test

import (
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"sync"

	"gannet/logic"
	"gannet/logic/cluster/view"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// memory keeps messages, as a queue and ClickHouse do together. It is logic.History, the
// Walk of a ledger.Source, and view.Counts.
type memory struct {
	mu    sync.Mutex
	talks map[protocol.Conversation][]kept
	told  map[protocol.Conversation]*told

	knows   map[protocol.Conversation]bool // what is remembered of counts
	counted int                            // how often it was asked for others
	failing bool                           // it is not answered
	broken  bool                           // it panics
	bounds  *view.Count                    // the answer; nil: what is so
	waits   chan struct{}                  // the answer comes once it is closed; nil: at once
	gone    int                            // devices that made room
}

// told is all that changes have said of a conversation.
type told struct {
	ledger.Progress
	members map[uint64]ledger.Member
	devices map[[2]uint64]ledger.Device
}

type kept struct {
	ledger.Message
	decoded protocol.Message
}

func newMemory() *memory {
	return &memory{talks: make(map[protocol.Conversation][]kept), told: make(map[protocol.Conversation]*told)}
}

func (m *memory) clone() *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := newMemory()
	for k, v := range m.talks {
		c.talks[k] = slices.Clone(v)
	}
	for k, v := range m.told {
		c.told[k] = &told{v.Progress, maps.Clone(v.members), maps.Clone(v.devices)}
	}
	return c
}

func (m *memory) add(c *ledger.Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, x := range c.Conversations {
		for _, message := range c.Messages[x.Messages.Start:x.Messages.End] {
			message.Payload = slices.Clone(message.Payload)
			k := kept{Message: message}
			if err := k.decoded.Decode(message.Payload); err != nil {
				return err
			}
			if len(m.talks[x.Key])+1 != int(message.Seq) {
				return errors.New("a seq is given twice or left out")
			}
			m.talks[x.Key] = append(m.talks[x.Key], k)
		}
		t := m.told[x.Key]
		if t == nil {
			t = &told{members: make(map[uint64]ledger.Member), devices: make(map[[2]uint64]ledger.Device)}
			m.told[x.Key] = t
		}
		t.Progress = x.After
		for _, member := range c.Members[x.Members.Start:x.Members.End] {
			t.members[member.User] = member
		}
		for _, d := range c.Devices[x.Devices.Start:x.Devices.End] {
			t.devices[[2]uint64{d.User, d.Device}] = d
		}
		for _, d := range c.Gone[x.Gone.Start:x.Gone.End] {
			delete(t.devices, [2]uint64{d.User, d.Device})
			m.gone++
		}
	}
	return nil
}

// loaded gives conversations as a load should find them, those that pick chooses.
func (m *memory) loaded(pick func(protocol.Conversation) bool) (list []view.Whole) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, t := range m.told {
		if !pick(key) {
			continue
		}
		l := &ledger.Loaded{Key: key, Progress: t.Progress}
		for _, user := range slices.Sorted(maps.Keys(t.members)) {
			l.Members = append(l.Members, t.members[user])
		}
		devices := slices.SortedFunc(maps.Keys(t.devices), func(a, b [2]uint64) int { return slices.Compare(a[:], b[:]) })
		for _, d := range devices {
			l.Devices = append(l.Devices, t.devices[d])
		}
		list = append(list, view.Whole{Loaded: l, Last: m.talks[key][len(m.talks[key])-1].Payload})
	}
	return list
}

// Walk implements ledger.Source.
func (m *memory) Walk(_ context.Context, walks []*ledger.Walk) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range walks {
		for at := w.From; at != 0; {
			k := m.talks[w.Key][at-1]
			if !w.Visit(k.decoded.ClientID, k.Seq, k.decoded.Time, k.Previous) {
				break
			}
			at = k.Previous
		}
	}
	return nil
}

var errCounts = errors.New("nobody counts")

// Remembered implements view.Counts.
func (m *memory) Remembered(counts []*view.Count) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range counts {
		if c.Err = errCounts; m.knows[c.Conversation] {
			c.Err = nil
			m.count(c)
		}
	}
}

// CountsAt implements view.Counts.
func (m *memory) CountsAt(_ context.Context, counts []*view.Count) error {
	m.mu.Lock()
	waits := m.waits
	m.mu.Unlock()
	if waits != nil {
		<-waits
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failing {
		return errCounts
	}
	if m.broken {
		panic("a bug")
	}
	for _, c := range counts {
		m.counted++
		m.count(c)
	}
	return nil
}

// count counts. mu is held.
func (m *memory) count(c *view.Count) {
	if b := m.bounds; b != nil {
		c.Count, c.Own, c.Bounds = b.Count, b.Own, b.Bounds
		return
	}
	for _, k := range m.talks[c.Conversation][:c.Seq] {
		c.Count = k.Count
		if k.decoded.Sender == c.User {
			c.Own = k.Own
		}
	}
}

// set has counts asked for otherwise from now on.
func (m *memory) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// Pages implements logic.History.
func (m *memory) Pages(_ context.Context, pages []*logic.Page) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range pages {
		m.page(p)
	}
	return nil
}

func (m *memory) page(p *logic.Page) {
	list := m.talks[p.Conversation]
	p.Head = uint64(len(list))
	p.First, p.Last = max(p.From, 1), p.Head
	if p.To != 0 {
		p.Last = min(p.To, p.Head)
	}
	if p.Backward {
		p.First, p.Last = 1, p.Head
		if p.From != 0 {
			p.Last = min(p.From, p.Head)
		}
	}
	if p.First > p.Last {
		return
	}
	items := slices.Clone(list[p.First-1 : p.Last])
	if p.Backward {
		slices.Reverse(items)
	}
	size, n := 0, 0
	for ; n < len(items); n++ {
		if size += 4 + len(items[n].Payload); n == p.Limit || n > 0 && size > p.Room {
			break
		}
	}
	if p.Count = n; n < len(items) {
		if p.Backward {
			p.First = items[n].Seq + 1
		} else {
			p.Last = items[n].Seq - 1
		}
	}
	if items = items[:n]; p.Backward {
		slices.Reverse(items)
	}
	for _, k := range items {
		p.Items = binary.BigEndian.AppendUint32(p.Items, uint32(len(k.Payload)))
		p.Items = append(p.Items, k.Payload...)
	}
}
