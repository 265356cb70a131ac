//go:build cluster

package owner_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"gannet/internal/chain"
	"gannet/internal/redis"
	"gannet/internal/redis/redistest"
	"gannet/internal/registry"
	"gannet/logic"
	"gannet/logic/cluster/owner"
	"gannet/logic/cluster/view"
)

// patient bounds every wait.
const patient = time.Minute

// world is what the nodes of a test share.
type world struct {
	t         testing.TB
	addresses []string // of Redis
	name      string   // of the cluster
	queues    int
	stream    chain.Stream
	registry  *registry.Memory
	archive   *archive
	tune      func(*owner.Options) // nil: nothing
	patience  time.Duration        // of lists for counts; 0: that of a server
}

func newWorld(t testing.TB, stream chain.Stream, addresses []string, queues int) *world {
	return &world{
		t: t, addresses: addresses, queues: queues, stream: stream, name: redistest.Prefix(t, addresses...),
		registry: registry.NewMemory(), archive: newArchive(),
	}
}

func queuesOf(n int) (list []chain.Queue) {
	for i := range n {
		list = append(list, chain.Queue{Class: chain.Chat, Number: i})
	}
	return list
}

// node is a logic node.
type node struct {
	world *world
	id    uint64
	place registry.Registration
	redis *redis.Client
	owner *owner.Owner
	inbox *owner.Inbox
}

// start starts a node.
func (w *world) start(id uint64) *node {
	w.t.Helper()
	n := &node{world: w, id: id, redis: redistest.Client(w.t, w.addresses...)}
	var err error
	n.place, err = w.registry.Register(context.Background(), registry.Node{ID: id, Role: registry.Logic})
	must(w.t, err)
	v, err := view.New(n.redis, view.Options{
		Name: w.name, Queues: queuesOf(w.queues), Counts: n, Patience: w.patience, Log: slog.New(slog.DiscardHandler),
	})
	must(w.t, err)
	o := owner.Options{
		Node: id, Registry: w.registry, Class: chain.Chat, Queues: w.queues, Stream: w.stream, View: v,
		History: w.archive, Feeder: w.archive, Log: slog.New(slog.DiscardHandler),
	}
	if testing.Verbose() {
		o.Log = slog.Default()
	}
	if w.tune != nil {
		w.tune(&o)
	}
	n.owner, err = owner.New(o)
	must(w.t, err)
	n.inbox = &owner.Inbox{Owners: []*owner.Owner{n.owner}, View: v}
	w.t.Cleanup(func() { n.stop() })
	return n
}

// stop ends the node in good order.
func (n *node) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	_ = n.owner.Drain(ctx) // there may be nothing any more
	_ = n.place.Leave(ctx)
	_ = n.owner.Close(ctx)
}

// Remembered implements view.Counts.
func (n *node) Remembered(counts []*view.Count) {
	for _, c := range counts {
		c.Count, c.Own, c.Err = n.owner.Counts(c.Conversation, c.User, c.Seq)
	}
}

// CountsAt implements view.Counts.
func (n *node) CountsAt(ctx context.Context, counts []*view.Count) error {
	return n.world.archive.CountsAt(ctx, counts)
}

// waitOwned waits until the node has all queues that the registry gives it.
func (n *node) waitOwned() {
	n.world.t.Helper()
	for i := range n.world.queues {
		n.waitState(i, owner.Owned)
	}
}

func (n *node) waitState(queue int, want owner.State) {
	n.world.t.Helper()
	eventually(n.world.t, fmt.Sprintf("queue %d is %v", queue, want), func() bool { return n.owner.State(queue) == want })
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patient); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain waited for this: %s", what)
		}
	}
}

// Pages implements logic.History: what is in memory, and before it what was fed.
func (n *node) Pages(ctx context.Context, pages []*logic.Page) error {
	for _, p := range pages {
		p.Err = n.page(ctx, p)
	}
	return nil
}

func (n *node) page(ctx context.Context, p *logic.Page) error {
	recent, err := n.owner.Recent(ctx, p.Conversation, 0, ^uint64(0))
	if err != nil {
		return err
	}
	p.Head, p.First, p.Last = recent.Head, max(p.From, 1), recent.Head
	if p.To != 0 {
		p.Last = min(p.To, p.Head)
	}
	if p.Backward {
		p.First, p.Last = 1, p.Head
		if p.From != 0 {
			p.Last = min(p.From, p.Head)
		}
	}
	if p.First > p.Last {
		return nil
	}
	var payloads [][]byte
	a := n.world.archive
	a.mu.Lock()
	for seq := p.First; seq <= p.Last; seq++ {
		switch {
		case seq >= recent.First:
			k := recent.Messages[seq-recent.First]
			if k.Seq != seq {
				err = fmt.Errorf("seq %d is in memory where %d should be", k.Seq, seq)
			}
			payloads = append(payloads, k.Payload)
		case seq <= uint64(len(a.talks[p.Conversation])):
			payloads = append(payloads, a.talks[p.Conversation][seq-1].Payload)
		default:
			err = fmt.Errorf("%w: seq %d is neither in memory, from %d on, nor fed", logic.ErrUnavailable, seq, recent.First)
		}
	}
	a.mu.Unlock()
	if err != nil {
		return err
	}
	if p.Backward {
		slices.Reverse(payloads)
	}
	size, count := 0, 0
	for ; count < len(payloads); count++ {
		if size += 4 + len(payloads[count]); count == p.Limit || count > 0 && size > p.Room {
			break
		}
	}
	if p.Count = count; count < len(payloads) {
		if p.Backward {
			p.First = p.Last - uint64(count) + 1
		} else {
			p.Last = p.First + uint64(count) - 1
		}
	}
	if payloads = payloads[:count]; p.Backward {
		slices.Reverse(payloads)
	}
	for _, b := range payloads {
		p.Items = append(binary.BigEndian.AppendUint32(p.Items, uint32(len(b))), b...)
	}
	return nil
}

// copyKeys gives a name under which Redis has what it has under that of the cluster.
// Nothing is written meanwhile.
func (w *world) copyKeys(client *redis.Client) string {
	name := fmt.Sprintf("%s.%08x", w.name, rand.Uint32())
	ctx := context.Background()
	each := func(ctx context.Context, server *goredis.Client) error {
		for _, pattern := range []string{"{" + w.name + ".chat.*", w.name + ":*"} {
			keys := server.Scan(ctx, 0, pattern, 1000).Iterator()
			for keys.Next(ctx) {
				value, err := server.Dump(ctx, keys.Val()).Result()
				if err != nil {
					return err
				}
				if err := client.RestoreReplace(ctx, strings.Replace(keys.Val(), w.name, name, 1), 0, value).Err(); err != nil {
					return err
				}
			}
			if err := keys.Err(); err != nil {
				return err
			}
		}
		return nil
	}
	switch c := client.UniversalClient.(type) {
	case *goredis.ClusterClient:
		must(w.t, c.ForEachMaster(ctx, each))
	case *goredis.Client:
		must(w.t, each(ctx, c))
	}
	return name
}
