package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"gannet/idl/rpc"
	"gannet/internal/chain"
	"gannet/internal/operate"
	"gannet/internal/registry"
	"gannet/internal/rocketmq"
	"gannet/transfer"
	transfercluster "gannet/transfer/cluster"
)

// transferCmd is the role that brings messages to the gateways.
type transferCmd struct {
	queueFlags `embed:""`
	nodeFlags  `embed:""`
}

// Help is printed by gannet transfer --help.
func (transferCmd) Help() string {
	return "Starts a transfer node of a cluster: it reads its share of the queues and brings what stands in them to the gateways of the receivers. Stop it with Ctrl-C or SIGTERM: another one goes on where it ended."
}

// Validate refuses settings that cannot be meant.
func (c *transferCmd) Validate() error {
	return cmp.Or(c.queueFlags.Validate(), c.nodeFlags.Validate())
}

// Run starts it and stops it when ctx ends.
func (c *transferCmd) Run(ctx context.Context) error {
	return c.runNode(ctx, c.start,
		func(n *node) string {
			return fmt.Sprintf("gannet %s: transfer node of cluster %s for other nodes on %s", version(), c.Cluster, n.address)
		},
		func(n *node) ready { return ready{RPC: n.address} })
}

func (c *transferCmd) start(ctx context.Context, log *slog.Logger) (*node, error) {
	n, err := c.open(ctx, registry.Transfer, log)
	if err != nil {
		return n, err
	}
	if err := n.awaitPlan(ctx, c.Cluster); err != nil {
		return n, err
	}
	stream, err := c.openStream(ctx, n)
	if err != nil {
		return n, err
	}
	gateways := rpc.NewGateways(registry.Epochs{Registry: n.registry}, n.log)
	n.began("connections to gateways", func(context.Context) error { gateways.Close(); return nil })
	devices := transfercluster.NewDirectory(n.directory)
	servers, queues := map[chain.Class]*transfer.Server{}, map[chain.Class]*transfercluster.Queue{}
	for _, class := range classes {
		of := n.plan.Queues(class)
		q, err := transfercluster.New(transfercluster.Options{
			Name: c.Cluster, Class: class, Stream: stream, Redis: n.client, Registry: n.registry, Node: n.id, Gateways: gateways, Log: n.log,
		})
		if err != nil {
			return n, err
		}
		if err := q.Check(ctx, numbers(len(of))...); err != nil {
			return n, err
		}
		s := transfer.Start(transfer.Config{Queue: q, Directory: devices, Gateways: gateways, Queues: numbers(len(of)), Parking: q, Log: logOf(n.log, class)})
		n.began(fmt.Sprintf("transfer of the %v queues", class), func(context.Context) error { s.Stop(); return nil })
		servers[class], queues[class] = s, q
	}
	chat := servers[chain.Chat]
	server := rpc.ServeTransfer(n.listener, chat, rpc.Config{Log: n.log})
	n.began("server for other nodes", server.Stop)
	if err := n.watch(&c.processFlags, operate.Sources{
		Vars: func() map[string]any {
			all := map[string]any{"gateways": gateways.Stats(), "rpc": server.Stats(), "lookups": devices.Vars(), "broker": troubles(stream)}
			for class, s := range servers {
				all[fmt.Sprintf("transfer_%v", class)], all[fmt.Sprintf("queue_%v", class)] = s.Stats(), queues[class].Vars()
			}
			return all
		},
		Queues: func(ctx context.Context) []operate.OfQueue {
			return append(queues[chain.Chat].Gauges(ctx), queues[chain.System].Gauges(ctx)...)
		},
		Unreadable:  func() any { return chat.Unreadable() },
		Connections: func() uint64 { return 0 },
		Health:      func() error { return errors.Join(queues[chain.Chat].Health(), queues[chain.System].Health()) },
	}); err != nil {
		return n, err
	}
	_, err = n.register(ctx)
	return n, err
}

// logOf gives the log of a part that logs only the number of a queue. The numbers of every class
// begin with 0, so the log adds the class.
func logOf(log *slog.Logger, class chain.Class) *slog.Logger {
	return log.With("class", class.String())
}

// openStream connects to the brokers of the plan. Later calls give the same connection.
func (f *queueFlags) openStream(ctx context.Context, n *node) (*rocketmq.Client, error) {
	if n.stream != nil {
		return n.stream, nil
	}
	places := make(map[chain.Queue]rocketmq.Place)
	for _, q := range n.plan.Queues(0) {
		at := n.plan.Place(q)
		places[q] = rocketmq.Place{Topic: at.Topic, Broker: at.Broker, Queue: at.Queue}
	}
	stream, err := rocketmq.Open(ctx, rocketmq.Options{NameServers: f.Rocketmq, Instance: fmt.Sprintf("%s-%x", n.role, n.id), Places: places, Log: n.log})
	if err != nil {
		return nil, fmt.Errorf("%w (where the name servers are says --rocketmq)", err)
	}
	n.stream = stream
	n.began("connection to the brokers", func(context.Context) error { return stream.Close() })
	return stream, nil
}

// troubles gives the counters of a connection to the brokers by name.
func troubles(c *rocketmq.Client) map[string]uint64 {
	t := c.Troubles()
	return map[string]uint64{
		"append.unanswered": t.Unanswered.Times(), "append.refused": t.Refused.Times(),
		"pull.given_up": t.GivenUp.Times(), "pull.overslept": t.Overslept.Times(), "damaged.pull": t.Damaged.Times(), "broker.away": t.Away.Times(),
	}
}
