// Package redis keeps the registry in Redis. Everything of it lies under one hash tag, so
// one script does each step, also in a cluster, and all times are those of Redis.
package redis

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"gannet/internal/operate"
	"gannet/internal/redis"
	"gannet/internal/registry"
)

// DefaultExpiry is for how long nothing must be heard of a node before it is dead. Two of
// the longest calls to Redis and some beats fit in.
const DefaultExpiry = 3 * time.Second

// Options are the same for all nodes of a cluster.
type Options struct {
	Prefix string        // of all keys; "": gannet
	Expiry time.Duration // 0: DefaultExpiry
	Logger *slog.Logger  // nil: slog.Default
}

// Registry is the adapter. It asks Redis six times in an expiry for what changed, and
// says with that that its own nodes live.
type Registry struct {
	client *redis.Client
	keys   []string
	expiry time.Duration
	logger *slog.Logger
	view   atomic.Pointer[registry.View]

	talk    sync.Mutex // one call to Redis at a time, so that answers come in order
	asked   atomic.Uint64
	failed  error           // what became of the call that asked counts
	settled uint64          // until when nodes may be missing, as Redis says it; 0: none are
	held    []registry.Node // those of before that have not come back so far
	over    *endings

	mu   sync.Mutex
	mine map[*registration]bool

	stop   context.CancelFunc
	ended  sync.WaitGroup
	counts Counters
}

var _ registry.Registry = (*Registry)(nil)

// Counters are what the debug address shows of a Registry.
type Counters struct {
	Unanswered operate.Trouble // calls that Redis did not answer
	Unreadable operate.Trouble // nodes that are none, and were left out
	Ended      operate.Trouble // own registrations that were found ended
}

// Vars gives the counters by name.
func (r *Registry) Vars() map[string]uint64 {
	view := r.view.Load()
	return map[string]uint64{
		"unanswered": r.counts.Unanswered.Times(),
		"unreadable": r.counts.Unreadable.Times(),
		"ended":      r.counts.Ended.Times(),
		"nodes":      uint64(len(view.Nodes)),
		"version":    view.Version,
	}
}

// Open reads the registry and begins to follow it. It needs Redis: a process that has
// never seen a view has none that could stay.
func Open(ctx context.Context, client *redis.Client, o Options) (*Registry, error) {
	if o.Prefix == "" {
		o.Prefix = "gannet"
	}
	if o.Expiry <= 0 {
		o.Expiry = DefaultExpiry
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	tag := "{" + o.Prefix + ":registry}:"
	r := &Registry{
		client: client, expiry: o.Expiry, logger: o.Logger, over: newEndings(),
		keys: []string{tag + "nodes", tag + "deadlines", tag + "self", tag + "counts"},
		mine: make(map[*registration]bool),
	}
	r.view.Store(registry.NewView(0, false, nil))
	if err := r.Refresh(ctx); err != nil {
		return nil, fmt.Errorf("registry: cannot be read: %w", err)
	}
	ctx, r.stop = context.WithCancel(context.Background())
	r.ended.Go(func() { r.follow(ctx) })
	return r, nil
}

// Close ends the following. It leaves nothing: what is still registered ends by itself
// after an expiry.
func (r *Registry) Close() {
	r.stop()
	r.ended.Wait()
}

// View implements registry.Registry.
func (r *Registry) View() *registry.View { return r.view.Load() }

// Refresh implements registry.Registry. Of those who call while another's call is under
// way, one asks for all.
func (r *Registry) Refresh(ctx context.Context) error {
	next := r.asked.Load() + 1 // the first that asks from here on
	r.talk.Lock()
	defer r.talk.Unlock()
	if r.asked.Load() >= next {
		return r.failed
	}
	_, err := r.ask(ctx, "view", "", "", 0)
	return err
}

// follow asks again and again.
func (r *Registry) follow(ctx context.Context) {
	ticker := time.NewTicker(r.expiry / 6)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		registrations := r.registrations()
		if len(registrations) == 0 {
			_ = r.Refresh(ctx) // counted and logged; the view stays
		}
		for _, own := range registrations {
			_ = own.beat(ctx)
		}
	}
}

func (r *Registry) registrations() (all []*registration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for own := range r.mine {
		all = append(all, own)
	}
	return all
}

// ask runs the script, takes in what it says of the others and gives whether it says
// that the member has ended. The caller holds talk.
func (r *Registry) ask(ctx context.Context, op, member, record string, count uint64) (ended bool, err error) {
	r.asked.Add(1)
	defer func() { r.failed = err }()
	known := r.view.Load().Version
	results, err := r.client.Run(ctx, redis.Call{Script: script, Keys: r.keys, Args: []any{
		r.expiry.Milliseconds(), r.expiry.Milliseconds() / 2, known, op, member, record, count,
	}})
	if err == nil {
		ended, err = r.take(results[0])
	}
	if err != nil && ctx.Err() == nil && r.counts.Unanswered.Note() {
		r.logger.Warn("registry: Redis does not answer; the nodes of before are kept", "nodes", len(r.view.Load().Nodes), "error", err)
	}
	return ended, err
}

// Register implements registry.Registry.
func (r *Registry) Register(ctx context.Context, node registry.Node) (registry.Registration, error) {
	if err := node.Check(); err != nil {
		return nil, err
	}
	node.Epoch, node.State = rand.Uint64()|1, cmp.Or(node.State, registry.Serving)
	own := &registration{registry: r, node: node, ended: make(chan struct{})}
	r.forget(node.ID)
	r.talk.Lock()
	_, err := r.ask(ctx, "join", own.member(), own.record(), 0)
	r.talk.Unlock()
	if err != nil {
		return nil, fmt.Errorf("registry: cannot register: %w", err)
	}
	r.mu.Lock()
	r.mine[own] = true
	r.mu.Unlock()
	return own, nil
}

// forget drops the registrations of a node of this process.
func (r *Registry) forget(id uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for own := range r.mine {
		if own.node.ID == id {
			delete(r.mine, own)
		}
	}
}

// Ended implements registry.Registry.
func (r *Registry) Ended(ctx context.Context, epoch uint64) (bool, error) {
	if r.over.has(epoch) {
		return true, nil
	}
	if _, lives := r.View().Epoch(epoch); lives {
		return false, nil
	}
	if err := r.Refresh(ctx); err != nil {
		return false, err
	}
	view := r.View()
	if _, lives := view.Epoch(epoch); lives || view.Settling {
		return false, nil
	}
	r.over.add(epoch)
	return true, nil
}

// Counts implements registry.Registry.
func (r *Registry) Counts(ctx context.Context) (map[uint64]uint64, error) {
	ctx, cancel := r.client.Within(ctx)
	defer cancel()
	fields, err := r.client.HGetAll(ctx, r.keys[3]).Result()
	if err != nil {
		return nil, fmt.Errorf("registry: counts: %w", err)
	}
	counts := make(map[uint64]uint64, len(fields))
	for member, text := range fields {
		var id, epoch, n uint64
		if _, err := fmt.Sscanf(member+" "+text, "%16x.%16x %d", &id, &epoch, &n); err == nil {
			counts[epoch] = n
		}
	}
	return counts, nil
}
