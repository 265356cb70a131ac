package command

import (
	"context"
	"sync/atomic"
	"time"

	"gannet/idl/rpc"
	"gannet/internal/chain"
	"gannet/internal/operate"
	"gannet/internal/registry"
)

// nodes says which node has a queue. Every answer comes at once from this process's view of the
// registry. If another node says that there is a newer view, the view is read anew meanwhile.
type nodes struct {
	registry registry.Registry
	ask      chan struct{} // holds one token while a newer view may exist
	newest   atomic.Uint64 // version of a view that exists somewhere
}

// askPause is the pause between two reads of the registry for a newer view, which the registry may
// not have yet, either.
const askPause = 20 * time.Millisecond

// newNodes makes it; run keeps it up to date.
func newNodes(r registry.Registry) *nodes {
	return &nodes{registry: r, ask: make(chan struct{}, 1)}
}

// run reads newer views until ctx ends.
func (n *nodes) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.ask:
		}
		if n.registry.View().Version < n.newest.Load() && n.registry.Refresh(ctx) != nil {
			n.wake()
		}
		if operate.Pause(ctx, askPause) != nil {
			return
		}
	}
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
	operate.Raise(&n.newest, version)
	n.wake()
}

// of gives who has the queues of a class in a role.
func (n *nodes) of(role registry.Role, class chain.Class) owners { return owners{n, role, class} }

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
	return rpc.Node{ID: owner.ID, Address: owner.Addresses[registry.RPC]}, view.Version, ok
}

// Newer implements rpc.Nodes.
func (o owners) Newer(version uint64) { o.newer(version) }

// placement implements rpc.Placement for the node with an id.
type placement struct {
	owners
	id uint64
}

// Elsewhere implements rpc.Placement. A queue of nobody is not elsewhere: the sender may
// know more than this node does.
func (p placement) Elsewhere(queue int) (node rpc.Node, version uint64, elsewhere bool) {
	node, version, ok := p.Of(queue)
	return node, version, ok && node.ID != p.id
}
