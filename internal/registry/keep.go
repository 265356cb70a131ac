package registry

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"gannet/internal/operate"
)

const (
	// keepPause is how long to wait before a failed registration is tried again. The pause
	// doubles up to keepPauseMost.
	keepPause     = 100 * time.Millisecond
	keepPauseMost = 2 * time.Second
)

// Keeper keeps a node registered for as long as its process lives, under one registration
// after the other.
type Keeper struct {
	registry Registry
	node     Node
	log      *slog.Logger
	said     operate.Seldom // that the node cannot be registered; the registry counts it
	joins    time.Duration

	setting sync.Mutex // held while a state is told, so that states are told in order

	mu     sync.Mutex
	now    Registration // nil: there is none yet
	joined bool         // now began in the state Joining
	state  State
}

// NewKeeper makes a Keeper; log may be nil.
func NewKeeper(r Registry, node Node, log *slog.Logger) *Keeper {
	if log == nil {
		log = slog.Default()
	}
	return &Keeper{registry: r, node: node, log: log, state: Serving}
}

// JoinFor sets how long the node joins before it serves. It joins each time that it comes to
// other nodes of its role; it owns no queue until it serves. Call JoinFor before Run.
func (k *Keeper) JoinFor(d time.Duration) { k.joins = d }

// Run registers the node, and registers it again each time that it learns that its registration
// has ended. When ctx ends, Run leaves the registry and returns. It calls began once for each
// registration, after the node has joined and before the next registration.
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
			k.log.Warn("registry: the registration has ended, a new one is made", "node", k.node.Role, "epoch", fmt.Sprintf("%x", r.Epoch()))
		case <-ctx.Done():
			leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepPauseMost)
			if err := r.Leave(leave); err != nil {
				k.log.Warn("registry: could not leave, the registration ends by itself", "node", k.node.Role, "error", err)
			}
			cancel()
			return
		}
	}
}

// joining says whether the node must join: others of its role serve, and the registry does not
// list this node as serving. If the view still lists it, as it does after the registry lost its
// data, the node keeps its place and need not join.
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

// join waits until the time to join is over or no other node serves, and then sets the state that
// the node has meanwhile (Serving, unless SetState said otherwise).
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
	_ = r.SetState(ctx, state) // if this fails, the next beat tells the state
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
				_ = r.SetState(ctx, state) // if this fails, the next beat tells the state
			}
			return r
		}
		if ctx.Err() == nil && k.said.Now() {
			k.log.Warn("registry: the node cannot be registered, it is tried again", "node", k.node.Role, "error", err)
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

// SetState tells all others the state. Later registrations begin with it too.
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
