package command

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"

	"gannet/gateway"
	gatewaycluster "gannet/gateway/cluster"
	"gannet/idl/rpc"
	"gannet/internal/chain"
	"gannet/internal/limiter"
	limiterredis "gannet/internal/limiter/redis"
	"gannet/internal/operate"
	"gannet/internal/registry"
	"gannet/logic"
	"gannet/logic/cluster/owner"
)

// gatewayCmd is the role that holds the connections.
type gatewayCmd struct {
	frontFlags `embed:""`
	limitFlags `embed:""`
	nodeFlags  `embed:""`
}

// Help is printed by gannet gateway --help.
func (gatewayCmd) Help() string {
	return "Starts a gateway of a cluster: clients connect to it, and it passes on what they send to logic nodes. Stop it with Ctrl-C or SIGTERM: it tells its clients to come back elsewhere, and ends."
}

// Validate refuses settings that cannot be meant.
func (c *gatewayCmd) Validate() error {
	return cmp.Or(c.frontFlags.Validate(), c.limitFlags.Validate(), c.nodeFlags.Validate())
}

// Run starts it and stops it when ctx ends.
func (c *gatewayCmd) Run(ctx context.Context) error {
	var f front
	return c.runNode(ctx, func(ctx context.Context, log *slog.Logger) (*node, error) { return c.start(ctx, log, &f) },
		func(n *node) string {
			return fmt.Sprintf("gannet %s: gateway of cluster %s for clients on %s, for other nodes on %s", version(), c.Cluster, f.address, n.address)
		},
		func(n *node) ready { return ready{Listen: f.address, TLS: f.tlsAddress, RPC: n.address} })
}

func (c *gatewayCmd) start(ctx context.Context, log *slog.Logger, f *front) (*node, error) {
	var config gateway.Config
	if err := c.apply(&config); err != nil {
		return &node{}, err
	}
	n, err := c.open(ctx, registry.Gateway, log)
	if err != nil {
		return n, err
	}
	if err := n.awaitPlan(ctx, c.Cluster); err != nil {
		return n, err
	}
	logics := rpc.NewLogics(n.nodes.of(registry.Logic, chain.Chat), len(n.plan.Chat), n.log)
	n.began("connections to logic", func(context.Context) error { logics.Close(); return nil })
	limits, stats := c.sharedLimiter(n)
	config.Logic, config.Binder, config.Lanes, config.Limiter, config.Log = logics, logics, len(n.plan.Chat), limits, n.log
	config.BatchBytes, config.FrameCost = owner.Room(chain.MaxRecord) // so that a batch fits one record
	c.setMemory(&config)
	c.applyTo(&config, &logic.Config{})
	g := gateway.New(config)
	server := rpc.ServeGateway(n.listener, g, rpc.Config{Epoch: g.Epoch, Log: n.log})
	n.began("server for other nodes", server.Stop)
	if err := n.watch(&c.processFlags, operate.Sources{
		Vars: func() map[string]any {
			return map[string]any{"gateway": g.Stats(), "logics": logics.Stats(), "rpc": server.Stats(), "limiter": stats()}
		},
		Unreadable:  func() any { return []any{} },
		Connections: func() uint64 { return g.Stats()["connections"] },
		Health:      func() error { return nil },
	}); err != nil {
		return n, err
	}
	if err := f.listen(&c.frontFlags); err != nil {
		return n, err
	}
	member := gatewaycluster.Join(gatewaycluster.Options{
		Registry: n.registry, Directory: n.directory, Node: n.registration(clientsReach(f.address, n.address)), Gateway: g, Log: n.log,
	})
	n.began("registration", func(context.Context) error { member.Leave(); return nil })
	n.began("gateway", func(ctx context.Context) error {
		_ = member.Drain(ctx) // clients are told to come back in any case
		return g.Stop(ctx)
	})
	select {
	case <-member.Joined():
	case <-ctx.Done():
		return n, context.Cause(ctx)
	}
	return n, f.serve(&c.frontFlags, g)
}

// clientsReach gives the address for clients as other machines know it. A listener on all
// interfaces has no host of its own. Then the best known host is the one at which other nodes reach
// this node.
func clientsReach(listens, advertised string) string {
	host, port, err := net.SplitHostPort(listens)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsUnspecified() {
		return listens
	}
	if host, _, err = net.SplitHostPort(advertised); err != nil {
		return listens
	}
	return net.JoinHostPort(host, port)
}

// sharedLimiter gives the limiter of users and addresses that all nodes share, nil if there
// are no limits, and its counters.
func (f *limitFlags) sharedLimiter(n *node) (limiter.Limiter, func() map[string]uint64) {
	if f.Limits == "off" {
		return nil, func() map[string]uint64 { return nil }
	}
	l := limiterredis.New(n.client, f.rates(), limiterredis.Options{Prefix: n.plan.Name, Logger: n.log})
	n.began("limiter", func(context.Context) error { l.Close(); return nil })
	return l, l.Vars
}
