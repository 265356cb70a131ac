//go:build cluster

package owner_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"testing"

	"gannet/internal/chain"
	"gannet/internal/chain/chaintest"
	"gannet/internal/hop"
	"gannet/internal/redis"
	"gannet/internal/redis/redistest"
	"gannet/internal/registry"
	"gannet/internal/rocketmq"
	"gannet/internal/services/servicestest"
	"gannet/logic"
	"gannet/logic/cluster/owner"
	"gannet/logic/conformance"
)

// TestConformance runs the suites over a broker in memory, against one Redis and against a
// cluster, with few conversations and few messages in memory and with many.
func TestConformance(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		for _, c := range []struct{ queues, cache, tail int }{{1, 0, 0}, {3, 2, 4 << 10}} {
			t.Run(fmt.Sprintf("%d queues", c.queues), func(t *testing.T) {
				suites(t, addresses, c.queues, c.cache, c.tail, func(testing.TB) chain.Stream { return chaintest.NewMemory() })
			})
		}
	})
}

// TestRocketMQ runs the suites over a real broker.
func TestRocketMQ(t *testing.T) {
	suites(t, []string{servicestest.Redis(t)}, 2, 0, 0, func(t testing.TB) chain.Stream { return broker(t, 2) })
}

// broker gives a client of RocketMQ with queues of its own.
func broker(t testing.TB, queues int) *rocketmq.Client {
	t.Helper()
	server := servicestest.RocketMQ(t)
	name, _ := servicestest.Broker(t, server)
	topic := servicestest.Topic(t, server, queues)
	places := map[chain.Queue]rocketmq.Place{}
	for _, q := range queuesOf(queues) {
		places[q] = rocketmq.Place{Topic: topic, Broker: name, Queue: q.Number}
	}
	c, err := rocketmq.Open(t.Context(), rocketmq.Options{NameServers: []string{server}, Instance: rand.Text(), Places: places, Send: patient})
	must(t, err)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func suites(t *testing.T, addresses []string, queues, cache, tail int, stream func(testing.TB) chain.Stream) {
	open := func(t *testing.T, setup conformance.Setup) conformance.Stores {
		w, gates := newSuiteWorld(t, setup, addresses, queues, stream(t))
		w.tune = func(o *owner.Options) { o.Conversations, o.Tail, o.Now = cache*queues, tail*queues, setup.Now }
		return w.stores(t, 1, gates)
	}
	t.Run("Log", func(t *testing.T) { conformance.Log(t, open) })
	t.Run("History", func(t *testing.T) { conformance.History(t, open) })
	t.Run("Inbox", func(t *testing.T) { conformance.Inbox(t, open) })
}

// newSuiteWorld makes a world whose records are published as the suites want it.
func newSuiteWorld(t *testing.T, setup conformance.Setup, addresses []string, queues int, stream chain.Stream) (*world, *gates) {
	w := newWorld(t, stream, addresses, queues)
	w.patience = patient
	gates := &gates{gate: make(map[int]*gate)}
	w.archive.now = true
	w.archive.fed = func(f *owner.Fed) {
		if f.Change == nil || !slices.ContainsFunc(f.Record.Entries, func(e hop.RecordEntry) bool { return e.Frame.Len() > 0 }) {
			return
		}
		setup.Publish(f.Record)
		gates.pass(f.Queue.Number)
	}
	t.Cleanup(func() {
		w.archive.mu.Lock()
		defer w.archive.mu.Unlock()
		for _, wrong := range w.archive.wrong {
			t.Error(wrong)
		}
	})
	return w, gates
}

// stores starts a node and gives it as the suites want it.
func (w *world) stores(t *testing.T, id uint64, gates *gates) conformance.Stores {
	n := w.start(id)
	n.waitOwned()
	w.waitFed()
	s := conformance.Stores{Log: n.owner, History: n, Inbox: n.inbox, Social: logic.Direct{}, Queues: w.queues, Hold: gates.hold}
	s.Reopen = func() conformance.Stores {
		n.stop()
		return w.stores(t, id+1, gates)
	}
	s.Survivor = func() conformance.Stores {
		release := n.owner.Hold()
		left := w.copy(n.redis)
		release()
		return left.stores(t, 1, gates)
	}
	return s
}

// copy gives a world that has what this one has, but for its nodes, while nothing is
// written.
func (w *world) copy(client *redis.Client) *world {
	left := *w
	left.name, left.registry, left.archive = w.copyKeys(client), registry.NewMemory(), w.archive.clone()
	left.stream = w.copyStream()
	raise(w.t, left.registry, w.registry.View().Version)
	return &left
}

// raise raises the version of a registry: those that stand in queues must not be newer.
func raise(t testing.TB, r *registry.Memory, to uint64) {
	for r.View().Version < to {
		_, err := r.Register(t.Context(), registry.Node{ID: 99, Role: registry.Transfer})
		must(t, err)
	}
}

// waitFed waits until all that is in the queues was fed: from then on records are fed as
// they are made, before their calls return.
func (w *world) waitFed() {
	for _, q := range queuesOf(w.queues) {
		eventually(w.t, "all is fed", func() bool {
			_, end, err := w.stream.Bounds(context.Background(), q)
			at, _ := w.archive.Mark(context.Background(), q)
			// At the end there may be void records.
			r := chain.NewReader(w.stream, q, at)
			return err == nil && r.ReadTo(context.Background(), end, func(*chain.Record) error { return nil }) == nil && r.Last() == at
		})
	}
}

// copyStream gives a broker in memory that has what the one of the world has.
func (w *world) copyStream() *chaintest.Memory {
	if m, ok := w.stream.(*chaintest.Memory); ok {
		return m.Clone()
	}
	c := chaintest.NewMemory()
	for _, q := range queuesOf(w.queues) {
		_, end, err := w.stream.Bounds(context.Background(), q)
		must(w.t, err)
		for next := int64(0); next < end; {
			stored, err := w.stream.Pull(context.Background(), q, next, 32)
			must(w.t, err)
			for _, s := range stored {
				c.Put(q, s.Body)
				next++
			}
		}
	}
	return c
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
