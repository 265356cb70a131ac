//go:build cluster

package view_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"gannet/internal/hop"
	"gannet/internal/redis"
	"gannet/internal/redis/redistest"
	"gannet/logic"
	"gannet/logic/conformance"
)

func newClient(t testing.TB, addresses []string) *redis.Client {
	return redistest.Client(t, addresses...)
}

func TestConformance(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		for _, o := range []options{{queues: 1, cache: 1000}, {queues: 3, cache: 2}} {
			open := func(t *testing.T, setup conformance.Setup) conformance.Stores {
				o := o
				o.addresses, o.name, o.now, o.publish = addresses, redistest.Prefix(t, addresses...), setup.Now, setup.Publish
				return openStores(t, o, newMemory())
			}
			t.Run(fmt.Sprintf("%d queues, cache %d", o.queues, o.cache), func(t *testing.T) {
				t.Run("Log", func(t *testing.T) { conformance.Log(t, open) })
				t.Run("History", func(t *testing.T) { conformance.History(t, open) })
				t.Run("Inbox", func(t *testing.T) { conformance.Inbox(t, open) })
				t.Run("Social", func(t *testing.T) { conformance.Social(t, open) })
			})
		}
	})
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

func openStores(t *testing.T, o options, m *memory) conformance.Stores {
	gates := &gates{gate: make(map[int]*gate)}
	publish := o.publish
	o.publish = func(record *hop.Record) {
		publish(record)
		gates.pass(record.Queue)
	}
	var open func() conformance.Stores
	open = func() conformance.Stores {
		s := openStore(t, o, m)
		t.Cleanup(s.stop)
		stores := conformance.Stores{Log: s, History: s.memory, Inbox: s, Social: logic.Direct{}, Queues: o.queues}
		stores.Hold = gates.hold
		stores.Reopen = func() conformance.Stores {
			s.close()
			return open()
		}
		stores.Survivor = func() conformance.Stores {
			left := o
			left.publish, left.name = nil, copyKeys(t, s)
			c := openStore(t, left, m.clone())
			t.Cleanup(c.stop)
			return conformance.Stores{Log: c, History: c.memory, Inbox: c, Social: logic.Direct{}, Queues: o.queues}
		}
		return stores
	}
	return open()
}

// copyKeys gives a name under which Redis has what it has under that of the store. Nothing
// is written meanwhile.
func copyKeys(t *testing.T, s *store) string {
	t.Helper()
	for _, q := range s.queues { // a writer on its way would be seen in part
		done := make(chan struct{})
		entered := make(chan struct{})
		go func() {
			for had := false; !had; { // its turn may be over with that of another, who writes for all
				_ = q.line.Do(context.Background(), nil, func([]*logic.Batch) {
					had = true
					close(entered)
					<-done
				})
			}
		}()
		<-entered
		defer close(done)
	}
	name := fmt.Sprintf("%s.%08x", s.options.name, rand.Uint32())
	ctx := context.Background()
	each := func(ctx context.Context, server *goredis.Client) error {
		for _, pattern := range []string{"{" + s.options.name + ".chat.*", s.options.name + ":*"} {
			keys := server.Scan(ctx, 0, pattern, 1000).Iterator()
			for keys.Next(ctx) {
				key := keys.Val()
				value, err := server.Dump(ctx, key).Result()
				if err != nil {
					return err
				}
				if err := s.client.RestoreReplace(ctx, strings.Replace(key, s.options.name, name, 1), 0, value).Err(); err != nil {
					return err
				}
			}
			if err := keys.Err(); err != nil {
				return err
			}
		}
		return nil
	}
	var err error
	switch c := s.client.UniversalClient.(type) {
	case *goredis.ClusterClient:
		err = c.ForEachMaster(ctx, each)
	case *goredis.Client:
		err = each(ctx, c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}
