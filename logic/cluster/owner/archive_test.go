//go:build cluster

package owner_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/logic"
	"gannet/logic/cluster/owner"
	"gannet/logic/cluster/view"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// archive stands for ClickHouse: it is owner.History and owner.Feeder, keeps what it is
// fed, and holds that against what it has.
type archive struct {
	fed  func(*owner.Fed) // called for each record that is taken; nil: nobody
	left atomic.Int64     // how often it answers before it is away
	busy atomic.Bool      // it rebuilds nothing
	full atomic.Bool      // it takes nothing
	slow chan struct{}    // it counts once that is closed; nil: at once
	now  bool             // it takes messages only when they are made

	mu     sync.Mutex
	talks  map[protocol.Conversation][]message
	states ledger.States
	marks  map[chain.Queue]chain.Mark
	wrong  []string
	part   func()                // called before each part of a rebuilding; nil: nobody
	never  func(*owner.Fed) bool // what it does not take, ever; nil: it takes everything
	again  int                   // records that were read again
	walked int
	whole  int // states that were given without a record
	gaps   int // records that were the oldest of their queue

	bad  map[protocol.Conversation]bool // of which it has what cannot be
	lost int                            // messages that were given up

	given map[protocol.Conversation]uint64 // up to where what is not there was given up
	asked map[chain.Queue]int              // how often it said what it has of a queue
}

// message is one that was fed.
type message struct {
	ledger.Message
	said protocol.Message
}

func newArchive() *archive {
	a := &archive{talks: map[protocol.Conversation][]message{}, states: ledger.States{}, marks: map[chain.Queue]chain.Mark{}, given: map[protocol.Conversation]uint64{}, asked: map[chain.Queue]int{}}
	a.left.Store(ever)
	return a
}

// beforeParts has do called before each part of a rebuilding.
func (a *archive) beforeParts(do func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.part = do
}

// takesAll ends what never says.
func (a *archive) takesAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.never = nil
}

func (a *archive) clone() *archive {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := newArchive()
	for k, v := range a.talks {
		c.talks[k] = slices.Clone(v)
	}
	for k, v := range a.states {
		c.states[k] = copyOf(v)
	}
	c.marks = maps.Clone(a.marks)
	return c
}

func copyOf(l *ledger.Loaded) *ledger.Loaded {
	c := *l
	c.Members, c.Devices = slices.Clone(l.Members), slices.Clone(l.Devices)
	return &c
}

func (a *archive) there() error {
	if a.left.Add(-1) < 0 {
		return errShaky
	}
	return nil
}

// ever is that it is not away.
const ever = 1 << 40

func (a *archive) badf(format string, args ...any) {
	a.wrong = append(a.wrong, fmt.Sprintf(format, args...))
}

// Open implements owner.Feeder.
func (a *archive) Open(ctx context.Context, q chain.Queue) (chain.Mark, error) { return a.Mark(ctx, q) }

// Inserted implements owner.Feeder.
func (a *archive) Inserted(q chain.Queue) (chain.Mark, bool) {
	if a.left.Load() <= 0 {
		return chain.Beginning, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	at, ok := a.marks[q]
	return at, ok
}

// Leave implements owner.Feeder.
func (a *archive) Leave(chain.Queue) {}

// Mark implements owner.History.
func (a *archive) Mark(_ context.Context, q chain.Queue) (chain.Mark, error) {
	if err := a.there(); err != nil {
		return chain.Beginning, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if m, ok := a.marks[q]; ok {
		return m, nil
	}
	return chain.Beginning, nil
}

// Most is Mark: nothing that was taken in is in doubt.
func (a *archive) Most(ctx context.Context, q chain.Queue) (chain.Mark, error) {
	mark, err := a.Mark(ctx, q)
	if err == nil {
		a.mu.Lock()
		a.asked[q]++
		a.mu.Unlock()
	}
	return mark, err
}

// Add implements owner.Feeder.
func (a *archive) Add(f *owner.Fed) (chain.Mark, bool) {
	a.mu.Lock()
	at, ok := a.marks[f.Queue]
	if !ok {
		at = chain.Beginning
	}
	never := a.never != nil && a.never(f)
	late := a.now && f.Change == nil && f.Record != nil && len(f.Record.Entries) > 0
	if f.Prev != at && (!f.Oldest || f.Mark.Offset <= at.Offset) || late || never || a.full.Load() || a.there() != nil {
		a.mu.Unlock()
		return at, false
	}
	if f.Record == nil {
		a.whole += len(f.States)
		for _, s := range f.States {
			a.states[s.Key] = copyOf(s)
			if f.Lost != (chain.Mark{}) {
				a.given[s.Key] = max(a.given[s.Key], s.Head)
			}
		}
		a.mu.Unlock()
		return at, true
	}
	if f.Oldest {
		a.gaps++
	}
	if f.Version != uint64(f.Mark.Offset)+1 {
		a.badf("record %v has version %d", f.Mark, f.Version)
	}
	a.add(f)
	a.marks[f.Queue] = f.Mark
	a.mu.Unlock()
	if a.fed != nil {
		a.fed(f)
	}
	return f.Mark, true
}

func (a *archive) add(f *owner.Fed) {
	links := map[uint64]map[protocol.Conversation]uint64{} // previous, by seq
	if f.Change != nil {
		for _, c := range f.Change.Conversations {
			for _, m := range f.Change.Messages[c.Messages.Start:c.Messages.End] {
				if links[m.Seq] == nil {
					links[m.Seq] = map[protocol.Conversation]uint64{}
				}
				links[m.Seq][c.Key] = m.Previous
			}
		}
	}
	for i := range f.Record.Entries {
		e := &f.Record.Entries[i]
		if e.Op != hop.OpMessage {
			continue
		}
		m := message{Message: ledger.Message{Seq: e.Seq, Count: e.N, Own: e.Own}}
		m.Payload = slices.Clone(f.Record.Bytes(i)[protocol.HeaderSize:])
		if err := m.said.Decode(m.Payload); err != nil {
			a.badf("seq %d of %v: %v", e.Seq, e.Conversation, err)
			continue
		}
		list := a.talks[e.Conversation]
		for (a.gaps > 0 || a.given[e.Conversation]+1 >= e.Seq) && uint64(len(list))+1 < e.Seq { // of records that were gone
			list = append(list, message{})
			if a.gaps == 0 {
				a.lost++
			}
		}
		if e.Seq != uint64(len(list))+1 {
			a.badf("%v has seq %d behind %d messages", e.Conversation, e.Seq, len(list))
			continue
		}
		for j := len(list) - 1; j >= 0 && m.Previous == 0; j-- {
			if list[j].said.Sender == e.User && list[j].said.Device == e.Device {
				m.Previous = list[j].Seq
			}
		}
		if f.Change != nil && links[e.Seq][e.Conversation] != m.Previous && a.gaps+a.lost == 0 {
			a.badf("seq %d of %v comes behind %d of its device, the record says %d", e.Seq, e.Conversation, m.Previous, links[e.Seq][e.Conversation])
		}
		a.talks[e.Conversation] = append(list, m)
	}
	if f.Change == nil {
		a.again++
		for _, s := range f.States {
			if s.Head > 0 { // else nothing is known of it
				a.states[s.Key] = copyOf(s)
			}
		}
		return
	}
	for _, c := range f.Change.Conversations {
		l := a.states[c.Key]
		if l == nil {
			l = &ledger.Loaded{Key: c.Key}
			a.states[c.Key] = l
		}
		l.Progress = c.After
		for _, m := range f.Change.Members[c.Members.Start:c.Members.End] {
			l.Members = slices.DeleteFunc(l.Members, func(x ledger.Member) bool { return x.User == m.User })
			l.Members = append(l.Members, m)
		}
		for _, d := range slices.Concat(f.Change.Devices[c.Devices.Start:c.Devices.End], f.Change.Gone[c.Gone.Start:c.Gone.End]) {
			l.Devices = slices.DeleteFunc(l.Devices, func(x ledger.Device) bool { return x.User == d.User && x.Device == d.Device })
		}
		l.Devices = append(l.Devices, f.Change.Devices[c.Devices.Start:c.Devices.End]...)
		slices.SortFunc(l.Members, func(x, y ledger.Member) int { return cmp.Compare(x.User, y.User) })
		slices.SortFunc(l.Devices, func(x, y ledger.Device) int {
			return cmp.Or(cmp.Compare(x.User, y.User), cmp.Compare(x.Device, y.Device))
		})
	}
}

// Walk implements owner.History.
func (a *archive) Walk(_ context.Context, walks []*ledger.Walk) error {
	if err := a.there(); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.walked += len(walks)
	for _, w := range walks {
		for at := w.From; at != 0; {
			if at > uint64(len(a.talks[w.Key])) {
				w.Err = fmt.Errorf("%w: seq %d is not fed yet", logic.ErrUnavailable, at)
				break
			}
			m := &a.talks[w.Key][at-1]
			if !w.Visit(m.said.ClientID, m.Seq, m.said.Time, m.Previous) {
				break
			}
			at = m.Previous
		}
	}
	return nil
}

// Rebuild implements owner.History, three conversations at a time. It gives those of all
// queues, of which the owner has to take its own.
func (a *archive) Rebuild(ctx context.Context, q chain.Queue, only []protocol.Conversation, take func(list []view.Whole, done, parts int) error) (chain.Mark, error) {
	mark, err := a.Mark(ctx, q)
	if err != nil || a.busy.Load() {
		return mark, cmp.Or(err, errShaky)
	}
	a.mu.Lock()
	var all []view.Whole
	for k, l := range a.states {
		if only != nil && !slices.Contains(only, k) {
			continue
		}
		if list := a.talks[k]; a.bad[k] {
			all = append(all, view.Whole{Loaded: &ledger.Loaded{Key: k, Err: errShaky}})
		} else if len(list) > 0 {
			all = append(all, view.Whole{Loaded: copyOf(l), Last: list[len(list)-1].Payload})
		}
	}
	a.mu.Unlock()
	for len(all) > 0 {
		n := min(len(all), 3)
		a.mu.Lock()
		part := a.part
		a.mu.Unlock()
		if part != nil {
			part()
		}
		if err := cmp.Or(a.there(), take(all[:n], 1, 2)); err != nil {
			return mark, err
		}
		all = all[n:]
	}
	return mark, take(nil, 2, 2)
}

// Remembered implements view.Counts.
func (a *archive) Remembered(counts []*view.Count) {
	for _, c := range counts {
		c.Err = errShaky
	}
}

// CountsAt implements view.Counts.
func (a *archive) CountsAt(_ context.Context, counts []*view.Count) error {
	if a.slow != nil {
		<-a.slow
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range counts {
		list := a.talks[c.Conversation]
		for i := range list[:min(c.Seq, uint64(len(list)))] {
			m := &list[i]
			c.Count = m.Count
			if m.said.Sender == c.User {
				c.Own = m.Own
			}
		}
	}
	return nil
}
