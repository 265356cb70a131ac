//go:build cluster

package owner_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/logic/cluster/view"
	"gannet/protocol"
)

// mute counts nothing.
type mute struct{}

func (mute) CountsAt(context.Context, []*view.Count) error { return errors.New("the history is away") }

// TestReadBelowTheHead: the counts of a READ below the head go to the view with it where its
// owner has the messages in memory, so that whoever is asked for the list knows them without
// the history.
func TestReadBelowTheHead(t *testing.T) {
	l := newLosing(t, "--save", "", "--appendonly", "no")
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
