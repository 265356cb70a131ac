package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"

	"gannet/idl/rpc"
	"gannet/internal/chain"
	clusterredis "gannet/internal/cluster/redis"
	"gannet/internal/registry"
	"gannet/logic/cluster/history"
	"gannet/logic/cluster/view"
	transfercluster "gannet/transfer/cluster"
)

type mendCmd struct {
	AcceptLoss bool `help:"Give up what RocketMQ acknowledged and lost: go on without those records. Their messages are gone, but for those that ClickHouse has."`

	clusterFlags `embed:""`
	queueFlags   `embed:""`
	historyFlags `embed:""`
}

// Help is printed by gannet mend --help.
func (mendCmd) Help() string {
	return "Looks at all queues of a cluster. Where Redis has a queue only up to a record that the broker has no more, because Redis came back older than the broker keeps records, nobody can bring it forward. What Redis has of that queue is removed, and its logic node fills it again from ClickHouse and the queue, within seconds and without a restart. Where transfer stood there, its mark is removed: start the transfer nodes again, and they tell everybody to sync. Queues that are well are left alone. What ClickHouse has not got of such a queue, and the broker neither, is gone then: see that ClickHouse is up first.\n\nWhere RocketMQ has lost records that it had acknowledged, because its disk was replaced by an older copy or its end was cut off, the queue is stopped, and this says what is missing. Restore the broker if you can. With --accept-loss the queue goes on without those records: messages that ClickHouse has are served, all others are gone, the newest of each conversation too, and clients are told so; every conversation goes on above the highest place that Redis knows, so that none is given to two messages; where ClickHouse knows of more, Redis came back older too, and it refuses. Cursors and unread counts stay as Redis has them. It may be interrupted and run again, and while nodes run."
}

// Run mends what can be mended.
func (c *mendCmd) Run(ctx context.Context) error { return c.mend(ctx, os.Stdout) }

func (c *mendCmd) mend(ctx context.Context, out io.Writer) error {
	l, err := c.openLive(ctx, slog.Default())
	if err != nil {
		return err
	}
	n := &node{live: l, role: "mend", id: rand.Uint64() | 1, log: slog.Default()}
	n.began("connection to Redis", func(context.Context) error { l.close(); return nil })
	return errors.Join(c.mendAll(ctx, n, out), n.stop())
}

func (c *mendCmd) mendAll(ctx context.Context, n *node, out io.Writer) (err error) {
	if n.plan, err = (clusterredis.Copy{Client: n.client, Name: c.Cluster}).Load(ctx); err == nil && n.plan == nil {
		err = errNoPlan
	}
	if err != nil {
		return err
	}
	stream, err := c.openStream(ctx, n)
	if err != nil {
		return err
	}
	v, err := view.New(n.client, view.Options{Name: c.Cluster, Queues: n.plan.Queues(0), Counts: &archive{}, Log: n.log})
	if err != nil {
		return err
	}
	gateways := rpc.NewGateways(registry.Epochs{Registry: n.registry}, n.log)
	defer gateways.Close()
	store, err := history.Open(c.historyFlags.options(c.Cluster, n.log))
	if err != nil {
		return err
	}
	n.began("connection to ClickHouse", func(context.Context) error { return store.Close() })
	m := mending{stream: stream, view: v, registry: n.registry, history: store, accept: c.AcceptLoss, out: out}
	if err := store.Migrate(ctx); err != nil {
		if c.AcceptLoss {
			return fmt.Errorf("ClickHouse has to be up for --accept-loss: %w", err)
		}
		m.away = err
	}
	var errs error
	for _, class := range classes {
		m.transfer, err = transfercluster.New(transfercluster.Options{
			Name: c.Cluster, Class: class, Stream: stream, Redis: n.client, Registry: n.registry, Node: n.id, Gateways: gateways, Log: n.log,
		})
		if err != nil {
			return err
		}
		for _, queue := range n.plan.Queues(class) { // one that cannot be mended keeps no other from it
			if err := m.mend(ctx, queue); err != nil {
				errs = errors.Join(errs, fmt.Errorf("%v: %w", queue, err))
			}
		}
	}
	errs = errors.Join(errs, m.giveUp(ctx))
	if m.mended == 0 && errs == nil {
		fmt.Fprintln(out, "no queue is behind what the broker keeps, and none lacks what the broker had acknowledged")
	}
	return errs
}

// mending is what it takes to mend queues of a class.
type mending struct {
	stream   chain.Stream
	view     *view.View
	transfer *transfercluster.Queue
	registry registry.Registry
	history  *history.Store
	away     error // why ClickHouse cannot be asked
	accept   bool  // what is lost is given up
	out      io.Writer
	mended   int // marks and views
	losses   []*loss
}

// mend mends a queue: what transfer has of it, then its view.
func (m *mending) mend(ctx context.Context, queue chain.Queue) error {
	first, _, err := m.stream.Bounds(ctx, queue)
	if err != nil {
		return err
	}
	err = m.transfer.Check(ctx, queue.Number)
	if errors.Is(err, chain.ErrRetention) {
		if err = m.transfer.Forget(ctx, queue.Number); err == nil {
			m.mended++
			fmt.Fprintf(m.out, "%v: transfer's mark was behind what the broker keeps and is forgotten; start the transfer nodes again\n", queue)
		}
	}
	w, failed := m.view.Writer(queue)
	if failed != nil {
		return errors.Join(err, failed)
	}
	keys, failed := w.Empty(ctx, first)
	if keys > 0 {
		m.mended++
		fmt.Fprintf(m.out, "%v: its view was behind what the broker keeps, which begins at offset %d; %d keys were removed, and it is filled again\n", queue, first, keys)
	}
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	return m.look(ctx, queue, w)
}
