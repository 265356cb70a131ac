//go:build cluster

package owner_test

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"gannet/internal/chain/chaintest"
	"gannet/internal/hop"
	"gannet/internal/registry"
	"gannet/internal/services/servicestest"
	"gannet/logic"
	"gannet/logic/cluster/owner"
	"gannet/protocol"
)

// frozen is a registry that one node sees as it was, from a moment on.
type frozen struct {
	*registry.Memory
	view atomic.Pointer[registry.View] // nil: as it is
}

func (f *frozen) View() *registry.View {
	if v := f.view.Load(); v != nil {
		return v
	}
	return f.Memory.View()
}

// ack says that a device has the first message of a conversation, at a node, and whether
// it was taken.
func (s *sender) ack(n *node, device uint64) bool {
	s.t.Helper()
	b := &logic.Batch{Queue: s.key().Partition() % n.world.queues, Entries: []logic.Entry{{
		Op: hop.OpAck, Conversation: s.key(), User: s.to, Device: device, Seq: 1,
	}}}
	must(s.t, n.owner.Apply(s.t.Context(), []*logic.Batch{b}))
	return b.Err == nil && b.Entries[0].Outcome == logic.Applied
}

// TestJoinLosesNoAcks: a node that joins takes queues over from one that does not know yet
// that it serves. Acks that waited in memory, and those that were taken since, are there.
func TestJoinLosesNoAcks(t *testing.T) {
	w := newWorld(t, chaintest.NewMemory(), []string{servicestest.Redis(t)}, 4)
	seen := &frozen{Memory: w.registry}
	still := time.Now()
	w.tune = func(o *owner.Options) {
		o.Registry = seen
		o.Now = func() time.Time { return still } // no ack waits for so long that it is due
	}
	old := w.start(1)
	old.waitOwned()
	w.tune = nil
	list := senders(t, rand.Uint64(), 16)
	for _, s := range list {
		s.run(func() []*node { return []*node{old} }, 1)
		if !s.ack(old, 1000) {
			t.Fatal("an ack is not taken")
		}
	}
	if v := old.owner.Vars(); v["ack_records"] != 0 {
		t.Fatalf("acks do not wait: %v", v)
	}
	place, err := w.registry.Register(t.Context(), registry.Node{ID: 2, Role: registry.Logic, State: registry.Joining})
	must(t, err)
	moves := func(s *sender) bool {
		n, ok := registry.Heir(registry.Logic, registry.Queue{Class: uint8(queuesOf(1)[0].Class), Number: uint32(s.key().Partition() % w.queues)}, w.registry.View())
		return ok && n.ID == 2
	}
	moved := 0
	for _, s := range list {
		if moves(s) {
			moved++
			if !s.ack(old, 1001) {
				t.Fatal("an ack is not taken while a node joins")
			}
		}
	}
	if moved == 0 || moved == len(list) {
		t.Fatalf("of %d conversations %d move", len(list), moved)
	}
	seen.view.Store(w.registry.View())
	must(t, place.Leave(t.Context()))
	fresh := w.start(2)
	for i := range w.queues {
		if n, _ := registry.Owner(registry.Logic, registry.Queue{Class: uint8(queuesOf(1)[0].Class), Number: uint32(i)}, w.registry.View()); n.ID == 2 {
			fresh.waitState(i, owner.Owned)
		}
	}
	for _, s := range list {
		if !moves(s) {
			continue
		}
		if s.ack(old, 1002) {
			t.Errorf("an ack of conversation %v is taken by a node that has lost the queue", s.key())
		}
		for _, device := range []uint64{1000, 1001} {
			page, err := fresh.inbox.Changed(t.Context(), logic.InboxQuery{User: s.to, Device: device, Limit: 10, Room: 1 << 20})
			must(t, err)
			if !slices.ContainsFunc(page.States, func(x protocol.State) bool { return x.Target.Conversation(s.to) == s.key() && x.Acked == 1 }) {
				t.Errorf("device %d acked before its queue moved; there is %+v", device, page.States)
			}
		}
	}
}
