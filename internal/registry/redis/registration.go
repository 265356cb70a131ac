package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"gannet/internal/registry"
)

// registration is a node of this process.
type registration struct {
	registry *Registry
	ended    chan struct{}
	count    atomic.Uint64

	mu   sync.Mutex
	node registry.Node // Since is Redis' to say, and not known here
}

// stored is what Redis keeps of a node besides its id, epoch and time, as JSON.
type stored struct {
	Role      registry.Role     `json:"role"`
	State     registry.State    `json:"state"`
	Addresses map[string]string `json:"addresses,omitempty"`
	Keys      []string          `json:"keys,omitempty"`
}

func (o *registration) member() string { return fmt.Sprintf("%016x.%016x", o.node.ID, o.node.Epoch) }

func (o *registration) record() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	record, _ := json.Marshal(stored{o.node.Role, o.node.State, o.node.Addresses, o.node.Keys}) // strings only: it cannot fail
	return string(record)
}

// errEnded says that a registration that has ended is not to be changed.
var errEnded = errors.New("registry: the registration has ended")

// beat tells Redis that the node lives, and its current state and count.
func (o *registration) beat(ctx context.Context) error {
	r := o.registry
	r.talk.Lock()
	defer r.talk.Unlock()
	r.mu.Lock()
	still := r.mine[o]
	r.mu.Unlock()
	if !still {
		return errEnded
	}
	ended, err := r.ask(ctx, "beat", o.member(), o.record(), o.count.Load())
	if err != nil || !ended {
		return err
	}
	r.mu.Lock()
	delete(r.mine, o)
	r.mu.Unlock()
	r.over.add(o.node.Epoch)
	close(o.ended)
	if r.counts.Ended.Note() {
		r.logger.Warn("registry: the own registration has ended", "node", o.node.Role, "epoch", fmt.Sprintf("%x", o.node.Epoch))
	}
	return errEnded
}

// Epoch implements registry.Registration.
func (o *registration) Epoch() uint64 { return o.node.Epoch }

// Ended implements registry.Registration.
func (o *registration) Ended() <-chan struct{} { return o.ended }

// SetState implements registry.Registration. If this call does not reach Redis, the next beat
// tells the state.
func (o *registration) SetState(ctx context.Context, state registry.State) error {
	o.mu.Lock()
	o.node.State = state
	o.mu.Unlock()
	return o.beat(ctx)
}

// Count implements registry.Registration.
func (o *registration) Count(n uint64) { o.count.Store(n) }

// Leave implements registry.Registration.
func (o *registration) Leave(ctx context.Context) error {
	r := o.registry
	r.mu.Lock()
	delete(r.mine, o)
	r.mu.Unlock()
	r.talk.Lock()
	defer r.talk.Unlock()
	_, err := r.ask(ctx, "leave", o.member(), "", 0)
	return err
}

// Bury ends the registration of another node whose process is known to be gone, as an
// expiry would. If it lives after all it registers again.
func (r *Registry) Bury(ctx context.Context, n registry.Node) error {
	r.talk.Lock()
	defer r.talk.Unlock()
	_, err := r.ask(ctx, "leave", (&registration{node: n}).member(), "", 0)
	return err
}
