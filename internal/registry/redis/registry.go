// Package redis keeps the registry in Redis. All its keys share one hash tag, so that one script
// can do each step, in a Redis cluster too. All times come from the clock of Redis.
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

// DefaultExpiry is how long a node may be silent before it counts as dead. The time is enough for
// two calls to Redis that take as long as a call may, and for some beats.
const DefaultExpiry = 3 * time.Second

// Options are the same for all nodes of a cluster.
type Options struct {
	Prefix string        // of all keys; "": gannet
	Expiry time.Duration // 0: DefaultExpiry
	Logger *slog.Logger  // nil: slog.Default
}

// Registry is the adapter. Six times in each expiry it asks Redis what has changed; the same
// calls are the beats of its own nodes.
type Registry struct {
	client *redis.Client
	keys   []string
	expiry time.Duration
	logger *slog.Logger
	view   atomic.Pointer[registry.View]
	raised atomic.Uint64 // the highest version that Saw was told

	talk    sync.Mutex // one call to Redis at a time, so that answers come in order
	asked   atomic.Uint64
	failed  error           // the outcome of the latest call, which asked counts
	settled uint64          // the time of Redis until which nodes may be missing; 0: none are missing
	held    []registry.Node // nodes from before the loss that have not registered again yet
	over    *endings

	mu   sync.Mutex
	mine map[*registration]bool

	stop   context.CancelFunc
	ended  sync.WaitGroup
	counts Counters
}

var _ registry.Registry = (*Registry)(nil)

// Counters count what went wrong.
type Counters struct {
	Unanswered operate.Trouble // calls that Redis did not answer
	Unreadable operate.Trouble // entries that are not valid nodes and were left out
	Ended      operate.Trouble // own registrations that were found ended
	Strange    operate.Trouble // versions of views that cannot be
}

// Vars gives the counters by name.
func (r *Registry) Vars() map[string]uint64 {
	view := r.view.Load()
	return map[string]uint64{
		"unanswered": r.counts.Unanswered.Times(),
		"unreadable": r.counts.Unreadable.Times(),
		"ended":      r.counts.Ended.Times(),
		"strange":    r.counts.Strange.Times(),
		"nodes":      uint64(len(view.Nodes)),
		"version":    view.Version,
	}
}

// Open reads the registry and begins to follow it. It fails if Redis is away, because there is no
// earlier view to go on with.
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

// Close ends the following. It does not call Leave: registrations that still exist end by
// themselves after an expiry.
func (r *Registry) Close() {
	r.stop()
	r.ended.Wait()
}

// View implements registry.Registry.
func (r *Registry) View() *registry.View { return r.view.Load() }

// maxVersion bounds what Saw believes. Lua counts in doubles, which are exact up to 2^53; a version
// is a time in microseconds, and this one that of the year 2112.
const maxVersion = 1 << 52

// Saw says that there was a view of this version: a record in a queue names it. If Redis is not so
// far then it has lost its data, and nobody who lives has seen the newest view; the next call
// raises its version above this one. Otherwise nodes would wait for a view that comes only when
// Redis' clock has passed that time. Saw does not wait.
func (r *Registry) Saw(version uint64) {
	if version > maxVersion {
		if r.counts.Strange.Note() {
			r.logger.Error("registry: a version of a view cannot be, and is left out", "version", version)
		}
		return
	}
	operate.Raise(&r.raised, version)
}

// Refresh implements registry.Registry. While one call is under way, all further callers share
// the next one.
func (r *Registry) Refresh(ctx context.Context) error {
	next := r.asked.Load() + 1 // the first call that begins after now
	r.talk.Lock()
	defer r.talk.Unlock()
	if r.asked.Load() >= next {
		return r.failed
	}
	_, err := r.ask(ctx, "view", "", "", 0)
	return err
}

// follow asks Redis for changes, and beats for this process's nodes, until ctx ends.
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

// ask runs the script and takes in its answer. It returns whether the member's registration has
// ended. The caller holds talk.
func (r *Registry) ask(ctx context.Context, op, member, record string, count uint64) (ended bool, err error) {
	r.asked.Add(1)
	defer func() { r.failed = err }()
	known := r.view.Load().Version
	results, err := r.client.Run(ctx, redis.Call{Script: script, Keys: r.keys, Args: []any{
		r.expiry.Milliseconds(), r.expiry.Milliseconds() / 2, known, op, member, record, count, max(known, r.raised.Load()),
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
