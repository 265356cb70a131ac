package registry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"gannet/internal/operate"
)

const (
	// keepPause is how long a registration that failed waits for the next try, and
	// keepPauseMost what that grows to.
	keepPause     = 100 * time.Millisecond
	keepPauseMost = 2 * time.Second
)

// Keeper keeps a node registered for as long as its process lives, under one registration
// after the other.
type Keeper struct {
	registry Registry
	node     Node
	log      *slog.Logger
	failed   operate.Trouble

	mu    sync.Mutex
	now   Registration // nil: there is none yet
	state State
}

// NewKeeper makes a Keeper; log may be nil.
func NewKeeper(r Registry, node Node, log *slog.Logger) *Keeper {
	if log == nil {
		log = slog.Default()
	}
	return &Keeper{registry: r, node: node, log: log, state: Serving}
}

// Vars are counters for the debug address.
func (k *Keeper) Vars() map[string]uint64 {
	return map[string]uint64{"failed.register": k.failed.Times()}
}

// Run registers the node, and again each time that it learns that its registration has
// ended, until ctx ends. Then it leaves. began is called with each registration, before
// the next one.
func (k *Keeper) Run(ctx context.Context, began func(Registration)) {
	for {
		r := k.register(ctx)
		if r == nil {
			return
		}
		began(r)
		select {
		case <-r.Ended():
			k.log.Warn("registry: the registration has ended, a new one is made", "role", k.node.Role, "epoch", r.Epoch())
		case <-ctx.Done():
			leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepPauseMost)
			if err := r.Leave(leave); err != nil {
				k.log.Warn("registry: could not leave, the registration ends by itself", "role", k.node.Role, "error", err)
			}
			cancel()
			return
		}
	}
}

// register tries until it succeeds; nil: ctx has ended.
func (k *Keeper) register(ctx context.Context) Registration {
	for pause := keepPause; ; pause = min(2*pause, keepPauseMost) {
		r, err := k.registry.Register(ctx, k.node)
		if err == nil {
			k.mu.Lock()
			k.now = r
			state := k.state
			k.mu.Unlock()
			if state != Serving {
				_ = r.SetState(ctx, state) // what is not heard the next beat says
			}
			return r
		}
		if ctx.Err() == nil && k.failed.Note() {
			k.log.Warn("registry: the node cannot be registered, it is tried again", "role", k.node.Role, "error", err)
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil
		}
	}
}

// SetState tells all others, and every later registration begins with it.
func (k *Keeper) SetState(ctx context.Context, state State) error {
	k.mu.Lock()
	k.state = state
	r := k.now
	k.mu.Unlock()
	if r == nil {
		return nil
	}
	return r.SetState(ctx, state)
}

// Count passes on how many devices are connected to the node, or what its role counts.
func (k *Keeper) Count(n uint64) {
	k.mu.Lock()
	r := k.now
	k.mu.Unlock()
	if r != nil {
		r.Count(n)
	}
}
