//go:build cluster

package owner_test

import (
	"context"
	"sync"
	"testing"

	"gannet/internal/chain"
	"gannet/internal/chain/chaintest"
	"gannet/internal/registry"
	"gannet/internal/services/servicestest"
	"gannet/logic/cluster/owner"
)

// leaver is a broker behind which the view of the registry changes when it is first asked.
type leaver struct {
	*chaintest.Memory
	once sync.Once
	now  func()
}

func (l *leaver) Bounds(ctx context.Context, q chain.Queue) (first, end int64, err error) {
	l.once.Do(l.now)
	return l.Memory.Bounds(ctx, q)
}

// TestClaim: a node whose take-over is under way while the registry gives the queue away claims it
// under the view that gave it the queue, and not under the one that took it away.
func TestClaim(t *testing.T) {
	m := &leaver{Memory: chaintest.NewMemory()}
	w := newWorld(t, m, []string{servicestest.Redis(t)}, 1)
	seen := &frozen{Memory: w.registry}
	var gave, took *registry.View
	m.now = func() {
		gave = seen.View()
		took = registry.NewView(gave.Version+1, false, nil)
		seen.view.Store(took)
	}
	w.tune = func(o *owner.Options) { o.Registry = seen }
	n := w.start(1)
	eventually(t, "it has taken the queue over", func() bool { return n.owner.Vars()["queues.taken"] == 1 })
	f := chain.NewFollower(queuesOf(1)[0], chain.Beginning)
	for offset, body := range m.All(queuesOf(1)[0]) {
		c, why, err := f.Feed(int64(offset), body)
		must(t, err)
		if why != chain.Counts || c.Registry != gave.Version {
			t.Errorf("record %d (%v) was made under version %d; %d gave the queue, %d took it", offset, why, c.Registry, gave.Version, took.Version)
		}
	}
	n.waitState(0, owner.Unowned)
}
