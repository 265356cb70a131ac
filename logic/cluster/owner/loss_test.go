//go:build cluster

package owner_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"gannet/internal/chain"
	"gannet/internal/chain/chaintest"
	"gannet/logic/cluster/owner"
	"gannet/logic/cluster/view"
	"gannet/protocol"
)

// bereft is a node of whose queues the broker has lost the newest records: the history has none
// of their messages.
type bereft struct {
	*losing
	given []*chain.GivenUp  // by queue
	fed   map[*sender]int   // how many of a sender's messages are not lost
	all   *chaintest.Memory // a broker that has everything
}

func newBereft(t *testing.T, args ...string) *bereft {
	b := &bereft{losing: newLosing(t, args...), fed: map[*sender]int{}}
	b.talk()
	b.flush()
	b.waitFed()
	for _, s := range b.list {
		b.fed[s] = len(s.seqs)
	}
	kept := make([]int, b.queues)
	b.archive.left.Store(0) // first: a node adds records by itself, and the history has none that is lost
	for i, q := range queuesOf(b.queues) {
		kept[i] = len(b.memory.All(q))
	}
	b.talk()
	b.flush()
	b.all = b.memory.Clone()
	var writers []uint64
	for i := range b.queues {
		writers = append(writers, b.node.owner.ViewMark(i).Writer)
	}
	b.archive.mu.Lock()
	b.archive.never = func(f *owner.Fed) bool { // what the node had read before it was lost
		i := f.Queue.Number
		return f.Record != nil && f.Mark.Writer == writers[i] && f.Mark.Offset >= int64(kept[i])
	}
	b.archive.mu.Unlock()
	for i, q := range queuesOf(b.queues) {
		b.memory.Cut(q, int64(kept[i]))
	}
	return b
}

// lose gives up what is lost, as gannet mend does.
func (b *bereft) lose() {
	b.t.Helper()
	v, err := view.New(b.node.redis, view.Options{Name: b.name, Queues: queuesOf(b.queues), Counts: b.archive})
	must(b.t, err)
	b.given = nil
	for i, q := range queuesOf(b.queues) {
		w, err := v.Writer(q)
		must(b.t, err)
		state, err := w.State(b.t.Context())
		must(b.t, err)
		g := chain.NewGivenUp(q, b.registry.View().Version, time.Now(), state.Mark.Offset+20)
		w.Believe(g.Mark(), state.Stamp)
		must(b.t, w.Adopt(b.t.Context(), state.Mark, false))
		if i == 0 { // somebody's record comes to lie among them
			b.memory.Put(q, []byte("no record"))
		}
		must(b.t, g.Write(b.t.Context(), b.memory, func(int64) {}))
		b.given = append(b.given, g)
	}
}

// heads gives the highest seq that was acked, by conversation.
func (b *bereft) heads() map[protocol.Conversation]uint64 {
	heads := map[protocol.Conversation]uint64{}
	for _, s := range b.list {
		for _, seq := range s.seqs {
			heads[s.key()] = max(heads[s.key()], seq)
		}
	}
	return heads
}

// goesOn sends a message in every conversation, each of which gets the next seq.
func (b *bereft) goesOn() {
	b.t.Helper()
	for _, s := range b.list {
		want := b.heads()[s.key()] + 1
		e := s.send(func() []*node { return []*node{b.node} }, uint64(len(s.seqs)+1))
		if e.Seq != want {
			b.t.Errorf("the next message of %v gets seq %d, want %d", s.key(), e.Seq, want)
		}
		s.seqs = append(s.seqs, e.Seq)
	}
}

// TestGivenUp: a node that has seen that something is lost, and one that has not, find
// themselves moved, and go on above all that was acked. The history has every head, and is
// told what is lost for good.
func TestGivenUp(t *testing.T) {
	b := newBereft(t)
	queue := b.list[0].key().Partition() % b.queues
	eventually(t, "one queue is stopped", func() bool {
		_, err := b.list[0].try(b.node, 1000)
		return errors.Is(err, owner.ErrStopped)
	})
	if err := b.node.owner.Health(); err == nil || !strings.Contains(err.Error(), "chat queue") || !strings.Contains(err.Error(), "gannet mend") {
		t.Errorf("of its health it says %v", err)
	}
	b.lose()
	b.archive.left.Store(ever)
	for i := range b.queues {
		b.node.waitState(i, owner.Owned)
	}
	if v := b.node.owner.Vars(); v["stopped.queues"] != 1 {
		t.Errorf("queue %d alone was stopped, but %v", queue, v)
	}
	lost := 0
	for _, s := range b.list {
		lost += len(s.seqs) - b.fed[s]
	}
	eventually(t, "the history is behind the loss", func() bool {
		for i, q := range queuesOf(b.queues) {
			if at, err := b.archive.Mark(t.Context(), q); err != nil || at.Offset < b.given[i].Through {
				return false
			}
		}
		return true
	})
	b.goesOn()
	b.waitFed()
	b.archive.mu.Lock()
	defer b.archive.mu.Unlock()
	// What a node had in memory of what is lost comes to the history all the same.
	if b.archive.lost == 0 || b.archive.lost > lost || len(b.archive.wrong) > 0 {
		t.Errorf("of %d messages that are lost %d were given up; %v", lost, b.archive.lost, b.archive.wrong)
	}
	for _, s := range b.list {
		if l := b.archive.states[s.key()]; l == nil || l.Head != b.heads()[s.key()] || l.Head != uint64(len(b.archive.talks[s.key()])) {
			t.Errorf("of %v the history has %+v", s.key(), l)
		}
	}
}

// TestViewBehindWhatWasGivenUp: a view that comes back older than what was given up is not
// brought forward without it: its queue stops, and goes on when the view is emptied, with the
// heads that the history has. That is so too where the whole queue is there and short.
func TestViewBehindWhatWasGivenUp(t *testing.T) {
	b := newBereft(t)
	must(t, b.node.redis.Save(t.Context()).Err()) // with marks that are lost
	b.lose()
	b.archive.left.Store(ever)
	for i := range b.queues {
		b.node.waitState(i, owner.Owned)
	}
	b.goesOn()
	b.waitFed()
	b.flush()
	before := b.shown()
	b.server.Kill()
	b.server.Start()
	for i := range b.queues {
		b.node.waitState(i, owner.Stopped)
	}
	if err := b.node.owner.Health(); err == nil || !strings.Contains(err.Error(), "chat queue 1") {
		t.Errorf("of its health it says %v", err)
	}
	v, err := view.New(b.node.redis, view.Options{Name: b.name, Queues: queuesOf(b.queues), Counts: b.archive})
	must(t, err)
	for i, q := range queuesOf(b.queues) {
		w, err := v.Writer(q)
		must(t, err)
		keys, err := w.Empty(t.Context(), b.given[i].Through)
		if err != nil || keys == 0 {
			t.Fatalf("%d keys are removed, %v", keys, err)
		}
	}
	b.back(before)
	b.goesOn()
}
