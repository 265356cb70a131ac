package command

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"syscall"
	"time"

	"gannet/internal/operate"
	"gannet/internal/registry"
)

const (
	// refusals is how many connections in a row a process must refuse that is gone, so
	// that a full queue of a listener is not taken for an end.
	refusals = 3

	// refusalPause is between two of them, and neighbourPause between two looks at one of
	// whom nothing is learnt.
	refusalPause   = 20 * time.Millisecond
	neighbourPause = 500 * time.Millisecond

	neighbourDial = 500 * time.Millisecond
)

// neighbour watches the node that follows this one in the registry, in a ring of all. It
// holds a connection to it, whose end tells of a death at once; where new ones are then
// refused, the process is gone, and its registration is ended before its expiry. One that
// stands still, or cannot be reached, is for the expiry to find, and so is one that has never
// taken a connection: what refuses there may be a wall on the way, or another address than it
// has, and each of its registrations would be ended in turn. A node whose registration was
// ended though it lives makes a new one, as after any other end.
type neighbour struct {
	registry interface {
		registry.Registry
		Bury(ctx context.Context, n registry.Node) error
	}
	id  uint64 // this node's
	log *slog.Logger

	buried, failed, strange operate.Trouble
}

// vars gives the counters by name.
func (n *neighbour) vars() map[string]uint64 {
	return map[string]uint64{"buried": n.buried.Times(), "failed": n.failed.Times(), "strange": n.strange.Times()}
}

// next gives the node that follows in a view; ok is false when there is no other.
func (n *neighbour) next(v *registry.View) (next registry.Node, ok bool) {
	others := slices.DeleteFunc(slices.Clone(v.Nodes), func(o registry.Node) bool { return o.ID == n.id || o.Addresses[registry.RPC] == "" })
	if len(others) == 0 {
		return next, false
	}
	i := slices.IndexFunc(others, func(o registry.Node) bool { return o.ID > n.id })
	return others[max(i, 0)], true
}

// run watches until ctx ends.
func (n *neighbour) run(ctx context.Context) {
	for ctx.Err() == nil {
		view := n.registry.View()
		next, ok := n.next(view)
		if !ok {
			select {
			case <-ctx.Done():
			case <-view.Superseded():
			}
			continue
		}
		n.watch(ctx, next)
	}
}

// watch watches a node as long as it is the one that follows.
func (n *neighbour) watch(ctx context.Context, next registry.Node) {
	for refused, known := 0, false; ; {
		view := n.registry.View()
		if now, ok := n.next(view); !ok || now.Epoch != next.Epoch || ctx.Err() != nil {
			return
		}
		conn, err := (&net.Dialer{Timeout: neighbourDial}).DialContext(ctx, "tcp", next.Addresses[registry.RPC])
		switch {
		case err == nil:
			refused, known = 0, true
			n.hold(ctx, conn, next)
			rest(ctx, refusalPause)
		case !errors.Is(err, syscall.ECONNREFUSED):
			refused = 0
			rest(ctx, neighbourPause)
		case !known:
			if n.strange.Note() {
				n.log.Warn("a node has refused all connections so far; the address that it advertises may be wrong", "other", next.Role, "address", next.Addresses[registry.RPC])
			}
			rest(ctx, neighbourPause)
		case refused+1 < refusals:
			refused++
			rest(ctx, refusalPause)
		default:
			if err := n.registry.Bury(ctx, next); err != nil {
				if n.failed.Note() {
					n.log.Warn("a node is gone, which the registry could not be told", "other", next.Role, "address", next.Addresses[registry.RPC], "error", err)
				}
				rest(ctx, neighbourPause)
				continue
			}
			if n.buried.Note() {
				n.log.Warn("a node is gone: it refuses connections", "other", next.Role, "address", next.Addresses[registry.RPC], "epoch", next.Epoch)
			}
		}
	}
}

// hold keeps a connection until it ends, or another node follows.
func (n *neighbour) hold(ctx context.Context, conn net.Conn, next registry.Node) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = conn.Read(make([]byte, 1)) // nodes say nothing that they are not asked
	}()
	defer func() { conn.Close(); <-ended }()
	for {
		view := n.registry.View()
		if now, ok := n.next(view); !ok || now.Epoch != next.Epoch {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ended:
			return
		case <-view.Superseded():
		}
	}
}

// rest waits, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
