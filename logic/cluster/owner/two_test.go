//go:build cluster

package owner_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"gannet/internal/chain"
	"gannet/internal/chain/chaintest"
	"gannet/internal/registry"
	"gannet/internal/services/servicestest"
	"gannet/logic"
	"gannet/logic/cluster/owner"
	"gannet/logic/conformance"
)

// TestTwoOwners runs the suites over two nodes that share the queues. Each batch goes to
// the node that has its queue, and readers ask now the one and now the other: what they see
// of conversations whose queue the other has is what stands in Redis.
func TestTwoOwners(t *testing.T) {
	open := func(t *testing.T, setup conformance.Setup) conformance.Stores {
		w, gates := newSuiteWorld(t, setup, []string{servicestest.Redis(t)}, 4, chaintest.NewMemory())
		w.tune = func(o *owner.Options) { o.Now = setup.Now }
		return w.pair(1).stores(t, gates)
	}
	t.Run("Log", func(t *testing.T) { conformance.Log(t, open) })
	t.Run("Inbox", func(t *testing.T) { conformance.Inbox(t, open) })
}

// An ack that waits at the node that has the queue comes to readers at the other when it is
// written, as a change since what they read before.
func TestAckIsSeenAtTheOtherOwner(t *testing.T) {
	w := newWorld(t, chaintest.NewMemory(), []string{servicestest.Redis(t)}, 4)
	p := w.pair(1)
	for i, n := range p.nodes {
		s := &sender{t: t, from: 1, to: 2}
		for p.of(s.key().Partition()%w.queues) != n {
			s.to++
		}
		for id := uint64(1); id <= 3; id++ {
			_, err := s.try(n, id)
			must(t, err)
		}
		reader := p.nodes[1-i].inbox
		changed := func(since uint64) logic.InboxPage {
			page, err := reader.Changed(t.Context(), logic.InboxQuery{User: s.to, Device: 20, Since: since, Limit: 10, Room: 1 << 20})
			must(t, err)
			return page
		}
		before := changed(0)
		if len(before.States) != 1 || before.States[0].Head != 3 || before.States[0].Acked != 0 {
			t.Fatalf("before the ack there is %+v", before.States)
		}
		if !s.ack(n, 20) {
			t.Fatal("the ack is not taken")
		}
		eventually(t, "the ack is seen at the other node", func() bool {
			page := changed(before.Next)
			return len(page.States) == 1 && page.States[0].Acked == 1 && page.States[0].Delivered == 1
		})
	}
}

// pair is two nodes of which each has a share of the queues.
type pair struct {
	world *world
	nodes [2]*node
	turn  atomic.Uint32 // of readers
}

// pair starts two nodes, the first with an id from there on.
func (w *world) pair(id uint64) *pair {
	w.t.Helper()
	for second := id + 1; ; second++ {
		some := map[bool]bool{}
		for _, q := range queuesOf(w.queues) {
			name := registry.Queue{Class: uint8(q.Class), Number: uint32(q.Number)}
			some[registry.Weight(id, name) > registry.Weight(second, name)] = true
		}
		if len(some) == 2 {
			first := w.start(id)
			first.waitOwned()
			p := &pair{world: w, nodes: [2]*node{first, w.start(second)}}
			for i := range w.queues {
				p.of(i).waitState(i, owner.Owned)
			}
			w.waitFed()
			return p
		}
	}
}

// of gives the node that has a queue; one that is not there is asked of the first.
func (p *pair) of(queue int) *node {
	name := registry.Queue{Class: uint8(chain.Chat), Number: uint32(queue)}
	if at, ok := registry.Owner(registry.Logic, name, p.world.registry.View()); ok && at.ID == p.nodes[1].id && queue >= 0 && queue < p.world.queues {
		return p.nodes[1]
	}
	return p.nodes[0]
}

// stores gives the nodes as the suites want them.
func (p *pair) stores(t *testing.T, gates *gates) conformance.Stores {
	w := p.world
	s := conformance.Stores{Log: p, History: p, Inbox: p, Social: logic.Direct{}, Queues: w.queues, Hold: gates.hold}
	next := p.nodes[1].id + 1
	s.Reopen = func() conformance.Stores {
		p.nodes[0].stop()
		p.nodes[1].stop()
		return w.pair(next).stores(t, gates)
	}
	s.Survivor = func() conformance.Stores {
		release := [2]func(){p.nodes[0].owner.Hold(), p.nodes[1].owner.Hold()}
		left := w.copy(p.nodes[0].redis)
		release[0]()
		release[1]()
		return left.pair(1).stores(t, gates)
	}
	return s
}

// Apply implements logic.Log.
func (p *pair) Apply(ctx context.Context, batches []*logic.Batch) error {
	share := map[*node][]*logic.Batch{}
	for _, b := range batches {
		share[p.of(b.Queue)] = append(share[p.of(b.Queue)], b)
	}
	if len(share) == 1 {
		for n, list := range share {
			return n.owner.Apply(ctx, list)
		}
	}
	var all sync.WaitGroup
	for n, list := range share {
		all.Go(func() {
			if err := n.owner.Apply(ctx, list); err != nil {
				for _, b := range list {
					b.Err = err
				}
			}
		})
	}
	all.Wait()
	return nil
}

// Pages implements logic.History.
func (p *pair) Pages(ctx context.Context, pages []*logic.Page) error {
	for _, page := range pages {
		page.Err = p.of(page.Conversation.Partition()%p.world.queues).page(ctx, page)
	}
	return nil
}

// Changed implements logic.Inbox. Acks that wait at the other node are written first: a
// reader may see them a second late.
func (p *pair) Changed(ctx context.Context, q logic.InboxQuery) (logic.InboxPage, error) {
	reader := p.turn.Add(1) % 2
	if err := p.nodes[1-reader].owner.FlushAcks(ctx); err != nil {
		return logic.InboxPage{}, err
	}
	return p.nodes[reader].inbox.Changed(ctx, q)
}
