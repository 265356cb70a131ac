package registry

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Memory is the registry of one process, whose nodes die with it.
type Memory struct {
	view atomic.Pointer[View]

	mu    sync.Mutex
	nodes map[uint64]*memoryNode // by id
}

type memoryNode struct {
	Node
	own *memoryRegistration
}

// NewMemory makes an empty registry.
func NewMemory() *Memory {
	m := &Memory{nodes: make(map[uint64]*memoryNode)}
	m.view.Store(NewView(0, false, nil))
	return m
}

var _ Registry = (*Memory)(nil)

// View implements Registry.
func (m *Memory) View() *View { return m.view.Load() }

// Refresh implements Registry.
func (m *Memory) Refresh(context.Context) error { return nil }

// publish makes a view of the nodes. The caller holds mu.
func (m *Memory) publish() {
	nodes := make([]Node, 0, len(m.nodes))
	for _, n := range m.nodes {
		nodes = append(nodes, n.Node)
	}
	old := m.view.Load()
	m.view.Store(NewView(old.Version+1, false, nodes))
	old.Supersede()
}

// Register implements Registry.
func (m *Memory) Register(_ context.Context, node Node) (Registration, error) {
	if err := node.Check(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	node.Epoch, node.State, node.Since = rand.Uint64()|1, cmp.Or(node.State, Serving), time.Now()
	own := &memoryRegistration{memory: m, id: node.ID, epoch: node.Epoch, ended: make(chan struct{})}
	m.nodes[node.ID] = &memoryNode{node, own}
	m.publish()
	return own, nil
}

// End ends the registration of an epoch as an expiry does, and tells its node.
func (m *Memory) End(epoch uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, n := range m.nodes {
		if n.Epoch == epoch {
			delete(m.nodes, id)
			close(n.own.ended)
			m.publish()
		}
	}
}

// Ended implements Registry.
func (m *Memory) Ended(_ context.Context, epoch uint64) (bool, error) {
	_, lives := m.View().Epoch(epoch)
	return !lives, nil
}

// Counts implements Registry.
func (m *Memory) Counts(context.Context) (map[uint64]uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	counts := make(map[uint64]uint64, len(m.nodes))
	for _, n := range m.nodes {
		counts[n.Epoch] = n.own.count.Load()
	}
	return counts, nil
}

// memoryRegistration is a registration in a Memory.
type memoryRegistration struct {
	memory    *Memory
	id, epoch uint64
	ended     chan struct{}
	count     atomic.Uint64
}

// Epoch implements Registration.
func (o *memoryRegistration) Epoch() uint64 { return o.epoch }

// Ended implements Registration.
func (o *memoryRegistration) Ended() <-chan struct{} { return o.ended }

// Count implements Registration.
func (o *memoryRegistration) Count(n uint64) { o.count.Store(n) }

var errEnded = errors.New("registry: the registration has ended")

// SetState implements Registration.
func (o *memoryRegistration) SetState(_ context.Context, state State) error {
	m := o.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[o.id]
	if n == nil || n.own != o {
		return errEnded
	}
	if n.State != state {
		n.State = state
		m.publish()
	}
	return nil
}

// Leave implements Registration.
func (o *memoryRegistration) Leave(context.Context) error {
	m := o.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.nodes[o.id]; n != nil && n.own == o {
		delete(m.nodes, o.id)
		m.publish()
	}
	return nil
}
