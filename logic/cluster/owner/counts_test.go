//go:build cluster

package owner_test

import (
	"testing"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/logic/cluster/view"
	"gannet/logic/ledger"
)

// TestReadBelowTheHead: the counts of a READ below the head go to the view with it where its
// owner has the messages in memory, so that whoever is asked for the list knows them.
func TestReadBelowTheHead(t *testing.T) {
	l := newLosing(t, "--save", "", "--appendonly", "no")
	s := l.list[0]
	nodes := func() []*node { return []*node{l.node} }
	s.run(nodes, 5)
	b := &logic.Batch{Queue: s.key().Partition() % l.queues, Entries: []logic.Entry{{Op: hop.OpRead, Conversation: s.key(), User: s.from, Device: 1, Seq: 3}}}
	must(t, l.node.owner.Apply(t.Context(), []*logic.Batch{b}))
	must(t, b.Err)
	v, err := view.New(l.node.redis, view.Options{Name: l.name, Queues: queuesOf(l.queues), Counts: l.archive})
	must(t, err)
	w, err := v.Writer(queuesOf(l.queues)[b.Queue])
	must(t, err)
	loaded := ledger.Loaded{Key: s.key()}
	must(t, w.Load(t.Context(), []*ledger.Loaded{&loaded}))
	must(t, loaded.Err)
	for _, m := range loaded.Members {
		if m.User == s.from {
			if !m.Counted || m.Read != 3 || m.Count != 3 || m.Own != 3 {
				t.Errorf("of the cursor the view says %+v", m)
			}
			return
		}
	}
	t.Errorf("of the members the view says %+v", loaded.Members)
}
