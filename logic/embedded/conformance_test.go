package embedded

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/logic/conformance"
)

func TestConformance(t *testing.T) {
	for _, opts := range []Options{{Queues: 1}, {Queues: 2, CacheConversations: 1}, {Queues: 7}} {
		open := func(t *testing.T, setup conformance.Setup) conformance.Stores {
			opts := opts
			opts.FS, opts.Now = vfs.NewCrashableMem(), setup.Now
			return openStores(t, opts, setup)
		}
		t.Run(fmt.Sprintf("%d queues, cache %d", opts.Queues, opts.CacheConversations), func(t *testing.T) {
			t.Run("Log", func(t *testing.T) { conformance.Log(t, open) })
			t.Run("History", func(t *testing.T) { conformance.History(t, open) })
			t.Run("Inbox", func(t *testing.T) { conformance.Inbox(t, open) })
			t.Run("Social", func(t *testing.T) { conformance.Social(t, open) })
		})
	}
}

// gates lets the next record of a queue stand still.
type gates struct {
	mu   sync.Mutex
	gate map[int]*gate
}

type gate struct{ standing, open chan struct{} }

func (g *gates) hold(queue int) (held <-chan struct{}, release func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	x := &gate{standing: make(chan struct{}), open: make(chan struct{})}
	g.gate[queue] = x
	return x.standing, func() { close(x.open) }
}

func (g *gates) pass(queue int) {
	g.mu.Lock()
	x := g.gate[queue]
	delete(g.gate, queue)
	g.mu.Unlock()
	if x != nil {
		close(x.standing)
		<-x.open
	}
}

func openStores(t *testing.T, opts Options, setup conformance.Setup) conformance.Stores {
	gates := &gates{gate: make(map[int]*gate)}
	opts.Publish = func(_ context.Context, record *hop.Record) {
		setup.Publish(record)
		gates.pass(record.Queue)
	}
	var open func() conformance.Stores
	open = func() conformance.Stores {
		s := mustOpen(t, opts)
		stores := setOf(s)
		stores.Hold = gates.hold
		stores.Reopen = func() conformance.Stores {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return open()
		}
		stores.Survivor = func() conformance.Stores {
			left := opts
			left.FS, left.Publish = opts.FS.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{}), nil
			return setOf(mustOpen(t, left))
		}
		return stores
	}
	return open()
}

func setOf(s *Store) conformance.Stores {
	return conformance.Stores{Log: s, History: s, Inbox: s, Social: logic.Direct{}, Queues: len(s.queues)}
}
