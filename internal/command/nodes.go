package command

import (
	"context"
	"sync"
	"time"

	"gannet/idl/rpc"
	"gannet/internal/chain"
	"gannet/internal/registry"
)

// nodes is what a node asks its view of the registry: who has a queue, and where gateways
// are. Every answer comes at once from the view; where that lacks something it is brought
// up to date beside.
type nodes struct {
	registry registry.Registry

	ask chan struct{} // holds one token while there is something to be asked

	mu      sync.Mutex
	newest  uint64              // version of a view that exists somewhere
	unknown map[uint64]struct{} // epochs that the view does not have
	ended   map[uint64]struct{} // epochs of which it is known
}

const (
	// mostUnknown bounds the epochs that are asked for at once. They come from peers and
	// from the directory, so they are bounded; one that does not fit is asked for the
	// next time that somebody wants it.
	mostUnknown = 1024

	// mostEnded bounds the epochs that are remembered. Those that are forgotten are asked
	// for again.
	mostEnded = 4096

	// askPause is between two questions: pushes to an epoch that is not known yet come
	// many thousand times a second.
	askPause = 20 * time.Millisecond
)

// newNodes makes it; run keeps it up to date.
func newNodes(r registry.Registry) *nodes {
	return &nodes{registry: r, ask: make(chan struct{}, 1), unknown: map[uint64]struct{}{}, ended: map[uint64]struct{}{}}
}

// run asks the registry what views lack, until ctx ends.
func (n *nodes) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.ask:
		}
		n.refresh(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(askPause):
		}
	}
}

func (n *nodes) refresh(ctx context.Context) {
	n.mu.Lock()
	stale := n.registry.View().Version < n.newest
	unknown := n.unknown
	n.unknown = map[uint64]struct{}{}
	n.mu.Unlock()
	if stale {
		if n.registry.Refresh(ctx) != nil {
			n.wake()
		}
	}
	for epoch := range unknown {
		if ended, err := n.registry.Ended(ctx, epoch); err == nil && ended {
			n.remember(epoch)
		}
	}
}

func (n *nodes) remember(epoch uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for forgotten := range n.ended {
		if len(n.ended) < mostEnded {
			break
		}
		delete(n.ended, forgotten)
	}
	n.ended[epoch] = struct{}{}
}

func (n *nodes) wake() {
	select {
	case n.ask <- struct{}{}:
	default:
	}
}

// newer is rpc.Nodes.Newer.
func (n *nodes) newer(version uint64) {
	if version <= n.registry.View().Version {
		return
	}
	n.mu.Lock()
	n.newest = max(n.newest, version)
	n.mu.Unlock()
	n.wake()
}

// Gateway implements rpc.Epochs.
func (n *nodes) Gateway(epoch uint64) (address string, ended bool) {
	if node, ok := n.registry.View().Epoch(epoch); ok {
		return node.Addresses[rpcAddress], false
	}
	n.mu.Lock()
	_, ended = n.ended[epoch]
	if !ended && len(n.unknown) < mostUnknown {
		n.unknown[epoch] = struct{}{}
	}
	n.mu.Unlock()
	if !ended {
		n.wake()
	}
	return "", ended
}

// of gives who has the queues of a class in a role.
func (n *nodes) of(role registry.Role, class chain.Class) rpc.Nodes { return owners{n, role, class} }

// owners implements rpc.Nodes.
type owners struct {
	*nodes
	role  registry.Role
	class chain.Class
}

// Of implements rpc.Nodes.
func (o owners) Of(queue int) (node rpc.Node, version uint64, ok bool) {
	view := o.registry.View()
	owner, ok := registry.Owner(o.role, registry.Queue{Class: uint8(o.class), Number: uint32(queue)}, view)
	return rpc.Node{ID: owner.ID, Address: owner.Addresses[rpcAddress]}, view.Version, ok
}

// Newer implements rpc.Nodes.
func (o owners) Newer(version uint64) { o.newer(version) }
