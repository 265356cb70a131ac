package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"syscall"
	"time"

	"gannet/internal/operate"
	"gannet/internal/registry"
)

const (
	// refusals is how many connections in a row must be refused before a process counts as gone.
	// One refusal may only mean that the queue of the listener is full.
	refusals = 3

	// refusalPause is the pause between two tries to connect to a node that refuses. neighbourPause
	// is the pause if a try tells nothing about the node.
	refusalPause   = 20 * time.Millisecond
	neighbourPause = 500 * time.Millisecond

	neighbourDial = 500 * time.Millisecond
)

// neighbour watches the next node in the registry; the nodes form a ring, in the order of their
// ids. It holds a connection to that node, and learns from its end at once that the process may
// have died. If new connections are then refused, the process is gone, and its registration is
// ended before it expires.
//
// A node that hangs or cannot be reached is left to the expiry. So is a node that has never taken a
// connection: a firewall may refuse, or the node may advertise a wrong address, and then each of
// its registrations would be ended in turn. A living node whose registration was ended registers
// again, as after any other end.
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
			_ = operate.Pause(ctx, refusalPause)
		case !errors.Is(err, syscall.ECONNREFUSED):
			refused = 0
			_ = operate.Pause(ctx, neighbourPause)
		case !known:
			if n.strange.Note() {
				n.log.Warn("a node has refused all connections so far; the address that it advertises may be wrong", "other", next.Role, "address", next.Addresses[registry.RPC])
			}
			_ = operate.Pause(ctx, neighbourPause)
		case refused+1 < refusals:
			refused++
			_ = operate.Pause(ctx, refusalPause)
		default:
			if err := n.registry.Bury(ctx, next); err != nil {
				if n.failed.Note() {
					n.log.Warn("a node is gone, which the registry could not be told", "other", next.Role, "address", next.Addresses[registry.RPC], "error", err)
				}
				_ = operate.Pause(ctx, neighbourPause)
				continue
			}
			if n.buried.Note() {
				n.log.Warn("a node is gone: it refuses connections", "other", next.Role, "address", next.Addresses[registry.RPC], "epoch", fmt.Sprintf("%x", next.Epoch))
			}
		}
	}
}

// hold keeps a connection until it ends, or another node follows.
func (n *neighbour) hold(ctx context.Context, conn net.Conn, next registry.Node) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = conn.Read(make([]byte, 1)) // ends with the connection: nodes send nothing unasked
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
