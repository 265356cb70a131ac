package cluster

import (
	"context"

	"gannet/internal/chain"
	"gannet/internal/registry"
)

// share says which queues this node reads: those that it owns among the transfer nodes that
// serve.
type share struct {
	registry registry.Registry
	node     uint64
}

// mine says whether this node owns a queue under the newest view, and gives that view.
func (s *share) mine(queue chain.Queue) (bool, *registry.View) {
	view := s.registry.View()
	owner, ok := registry.Owner(registry.Transfer, registry.Queue{Class: uint8(queue.Class), Number: uint32(queue.Number)}, view)
	return ok && owner.ID == s.node, view
}

// await waits until this node owns a queue. It gives a context that ends when the node does not
// own it any more. An error is that of ctx.
func (s *share) await(ctx context.Context, queue chain.Queue) (context.Context, context.CancelFunc, error) {
	for {
		mine, view := s.mine(queue)
		if mine {
			within, cancel := context.WithCancel(ctx)
			go s.watch(within, cancel, queue, view)
			return within, cancel, nil
		}
		select {
		case <-view.Superseded():
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// watch calls cancel when another node owns the queue.
func (s *share) watch(ctx context.Context, cancel context.CancelFunc, queue chain.Queue, view *registry.View) {
	for mine := true; mine; mine, view = s.mine(queue) {
		select {
		case <-view.Superseded():
		case <-ctx.Done():
			return
		}
	}
	cancel()
}
