package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"gannet/idl/kitex_gen/gannet"
	"gannet/idl/kitex_gen/gannet/node"
)

// Probes asks single nodes of any role, each question once.
type Probes struct{ calls *calls[node.Client] }

// NewProbes makes the client.
func NewProbes(log *slog.Logger) *Probes {
	return &Probes{newCalls("node", log, node.NewClient)}
}

// Close closes the connections.
func (p *Probes) Close() { p.calls.peers.close() }

// Stats gives every counter by name.
func (p *Probes) Stats() map[string]uint64 { return p.calls.stats() }

// Health is what a node says of itself.
type Health struct {
	Node uint64 // one life of one process
	Err  error  // why it should get no work; nil: it may
}

// Health asks the node at an address. An error means that it did not answer; whoever wants
// to know whether its process is gone looks for syscall.ECONNREFUSED in it.
func (p *Probes) Health(ctx context.Context, address string) (h Health, err error) {
	err = p.ask(ctx, address, func(ctx context.Context, c node.Client) error {
		reply, err := c.Health(ctx, &gannet.HealthRequest{})
		switch {
		case err != nil:
			return err
		case reply == nil:
			return errNoReply
		}
		if h.Node = uint64(reply.Node); !reply.Ready {
			h.Err = fmt.Errorf("rpc: the node says: %.200s", reply.Why)
		}
		return nil
	})
	return h, err
}

// Drain has the node at an address begin to drain, if it is still the one that is meant.
func (p *Probes) Drain(ctx context.Context, to Node, within time.Duration) error {
	return p.ask(ctx, to.Address, func(ctx context.Context, c node.Client) error {
		reply, err := c.Drain(ctx, &gannet.DrainRequest{Node: int64(to.ID), Milliseconds: within.Milliseconds()})
		switch {
		case err != nil:
			return err
		case reply == nil:
			return errNoReply
		case reply.Status != gannet.OK && reply.Why != "":
			return fmt.Errorf("%w: %.200s", meaning(reply.Status), reply.Why)
		}
		return meaning(reply.Status)
	})
}

func (p *Probes) ask(ctx context.Context, address string, call func(context.Context, node.Client) error) error {
	err := p.calls.once(ctx, address, time.Now().Add(tryTimeout), call)
	if err != nil {
		p.calls.failure(address, err)
		return fmt.Errorf("rpc: node: %w", err)
	}
	return nil
}
