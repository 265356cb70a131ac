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
	joins    time.Duration

	setting sync.Mutex // one state after the other is told

	mu     sync.Mutex
	now    Registration // nil: there is none yet
	joined bool         // it began by joining
	state  State
}

// NewKeeper makes a Keeper; log may be nil.
func NewKeeper(r Registry, node Node, log *slog.Logger) *Keeper {
	if log == nil {
		log = slog.Default()
	}
	return &Keeper{registry: r, node: node, log: log, state: Serving}
}

// JoinFor has the node join for so long before it serves, each time that it comes to others
// of its role: their queues are its own only then. It is called before Run.
func (k *Keeper) JoinFor(d time.Duration) { k.joins = d }

// Vars are counters for the debug address.
func (k *Keeper) Vars() map[string]uint64 {
	return map[string]uint64{"failed.register": k.failed.Times()}
}

// Run registers the node, and again each time that it learns that its registration has
// ended, until ctx ends. Then it leaves. began is called with each registration, before
// the next one, and when the node has joined.
func (k *Keeper) Run(ctx context.Context, began func(Registration)) {
	for {
		r := k.register(ctx)
		if r == nil {
			return
		}
		k.join(ctx, r)
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

// joining says whether the node comes to others that serve. One that the registry lost with
// all others has its place still.
func (k *Keeper) joining(ctx context.Context) bool {
	if k.joins == 0 || k.registry.Refresh(ctx) != nil {
		return false
	}
	others, own := k.serving(k.registry.View())
	return others && !own
}

// serving says whether other nodes of the role serve in a view, and whether this one does.
func (k *Keeper) serving(v *View) (others, own bool) {
	for i := range v.Nodes {
		if n := &v.Nodes[i]; n.Role == k.node.Role && n.State == Serving {
			others, own = others || n.ID != k.node.ID, own || n.ID == k.node.ID
		}
	}
	return others, own
}

// join waits while the node joins, as long as others serve, and then has it serve.
func (k *Keeper) join(ctx context.Context, r Registration) {
	k.mu.Lock()
	joined := k.joined
	k.joined = false
	k.mu.Unlock()
	if !joined {
		return
	}
	t := time.NewTimer(k.joins)
	defer t.Stop()
	for waits := true; waits; {
		view := k.registry.View()
		if others, _ := k.serving(view); !others {
			break
		}
		select {
		case <-view.Superseded():
		case <-t.C:
			waits = false
		case <-r.Ended():
			return
		case <-ctx.Done():
			return
		}
	}
	k.setting.Lock()
	defer k.setting.Unlock()
	k.mu.Lock()
	state := k.state
	k.mu.Unlock()
	_ = r.SetState(ctx, state) // what is not heard the next beat says
}

// register tries until it succeeds; nil: ctx has ended.
func (k *Keeper) register(ctx context.Context) Registration {
	for pause := keepPause; ; pause = min(2*pause, keepPauseMost) {
		node := k.node
		if k.joining(ctx) {
			node.State = Joining
		}
		r, err := k.registry.Register(ctx, node)
		if err == nil {
			k.mu.Lock()
			k.now, k.joined = r, node.State == Joining
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
	k.setting.Lock()
	defer k.setting.Unlock()
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
