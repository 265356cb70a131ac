//go:build cluster

package owner_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"gannet/internal/chain/chaintest"
	"gannet/internal/hop"
	"gannet/internal/services/servicestest"
	"gannet/logic"
	"gannet/logic/cluster/owner"
	"gannet/logic/cluster/view"
	"gannet/protocol"
)

// mute counts nothing.
type mute struct{}

var errMute = errors.New("the history is away")

func (mute) Remembered(counts []*view.Count) {
	for _, c := range counts {
		c.Err = errMute
	}
}

func (mute) CountsAt(context.Context, []*view.Count) error { return errMute }

// TestReadBelowTheHead: the counts of a READ below the head go to the view with it where its
// owner has the messages in memory, so that whoever is asked for the list knows them without
// the history.
func TestReadBelowTheHead(t *testing.T) {
	l := newLosing(t)
	s := l.list[0]
	s.run(func() []*node { return []*node{l.node} }, 5)
	peer := s.key().Target(s.from).ID
	b := &logic.Batch{Queue: s.key().Partition() % l.queues, Entries: []logic.Entry{{Op: hop.OpRead, Conversation: s.key(), User: peer, Device: 1, Seq: 3}}}
	must(t, l.node.owner.Apply(t.Context(), []*logic.Batch{b}))
	must(t, b.Err)
	v, err := view.New(l.node.redis, view.Options{Name: l.name, Queues: queuesOf(l.queues), Counts: mute{}})
	must(t, err)
	page, err := v.Changed(t.Context(), logic.InboxQuery{User: peer, Device: 1, Limit: 10, Room: 1 << 20})
	must(t, err)
	i := slices.IndexFunc(page.States, func(x protocol.State) bool { return x.Target.ID == s.from })
	if i < 0 || page.States[i].Read != 3 || page.States[i].Unread != 2 {
		t.Errorf("the list is %+v; want 3 read and 2 unread in the conversation with %d", page.States, s.from)
	}
}

// TestCountsFromMemory: while the history is slow what the owner has in memory is counted, in a
// list with a conversation of which it has not, and while the history is not asked. What the
// history says late is in the next list.
func TestCountsFromMemory(t *testing.T) {
	w := newWorld(t, chaintest.NewMemory(), []string{servicestest.Redis(t)}, 1)
	w.tune = func(o *owner.Options) { o.Tail = 1 } // so nobody knows the counts of a READ
	first := w.start(1)
	first.waitOwned()
	for _, peer := range []struct{ id, messages, read uint64 }{{301, 2, 1}, {302, 40, 38}} {
		here, there := &sender{t: t, from: 300, to: peer.id}, &sender{t: t, from: peer.id, to: 300}
		for id := uint64(1); id <= peer.messages; id++ {
			_, err := there.try(first, id)
			must(t, err)
		}
		_, err := here.try(first, 1)
		must(t, err)
		b := &logic.Batch{Entries: []logic.Entry{{Op: hop.OpRead, Conversation: here.key(), User: 300, Device: 1, Seq: peer.read}}}
		must(t, first.owner.Apply(t.Context(), []*logic.Batch{b}))
		must(t, b.Err)
	}
	first.stop()
	w.tune = func(o *owner.Options) { o.Tail = 4096 } // room for the newest messages of the second
	second := w.start(2)
	second.waitOwned()
	w.archive.slow = make(chan struct{})
	list := func(since uint64) logic.InboxPage {
		t.Helper()
		page, err := second.inbox.Changed(t.Context(), logic.InboxQuery{User: 300, Device: 1, Since: since, Limit: 10, Room: 1 << 20})
		must(t, err)
		return page
	}
	var since uint64
	look := func() time.Duration {
		began := time.Now()
		page := list(0)
		took := time.Since(began)
		if len(page.States) != 2 || page.States[0].Unread != 2 || page.States[1].Unread != 2 {
			t.Fatalf("there is %+v; want 2 unread at most, and 2 exactly of 3 at most", page.States)
		}
		since = page.Next
		return took
	}
	look()
	// A list that comes after the pause waits, and begins the next one.
	eventually(t, "a list does not wait while the history is not asked", func() bool { return look() < 300*time.Millisecond })
	close(w.archive.slow)
	eventually(t, "what came late is in the next list", func() bool {
		page := list(since)
		since = page.Next
		return slices.ContainsFunc(page.States, func(s protocol.State) bool { return s.Target.ID == 301 && s.Unread == 1 })
	})
}
