package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"

	"gannet/idl/rpc"
	"gannet/internal/chain"
	"gannet/internal/cluster"
	clusterredis "gannet/internal/cluster/redis"
	"gannet/internal/registry"
	"gannet/logic/cluster/history"
	"gannet/logic/cluster/view"
	transfercluster "gannet/transfer/cluster"
)

type mendCmd struct {
	Refill     []string `placeholder:"QUEUE,..." help:"Make what Redis has of these queues anew, chat.0 for example, though they seem well: for what the log says that nobody else can repair. ClickHouse has to be up, and to have everything that RocketMQ has no more, or the queue stays unavailable."`
	AcceptLoss bool     `help:"Give up what RocketMQ acknowledged and lost: go on without those records. Their messages are gone, but for those that ClickHouse has."`

	clusterFlags `embed:""`
	queueFlags   `embed:""`
	historyFlags `embed:""`
}

// Help is printed by gannet mend --help.
func (mendCmd) Help() string {
	return "Looks at all queues of a cluster. Where Redis has a queue only up to a record that the broker has no more, because Redis came back older than the broker keeps records, nobody can bring it forward. What Redis has of that queue is removed, and its logic node fills it again from ClickHouse and the queue, within seconds and without a restart. Where transfer stood there, its mark is removed: start the transfer nodes again, and they tell everybody to sync. What Redis has of a queue is removed, too, where the state of its view, or transfer's mark, cannot be read. Queues that are well are left alone. What ClickHouse has not got of such a queue, and the broker neither, is gone then: see that ClickHouse is up first.\n\nWhere RocketMQ has lost records that it had acknowledged, because its disk was replaced by an older copy or an empty one, or its end was cut off, the queue is stopped, and this says what is missing. Restore the broker if you can. With --accept-loss topics that a broker does not have any more are made again, empty, and the queue goes on without those records: messages that ClickHouse has are served, all others are gone, the newest of each conversation too, and clients are told so; every conversation goes on above the highest place that Redis knows; where ClickHouse or transfer knows of more, Redis came back older too, and it refuses. Nothing else tells: if Redis lost the same last records as RocketMQ, and ClickHouse had not been fed them, nobody notices, and their places are given to other messages. Cursors and unread counts stay as Redis has them. It may be interrupted and run again, and while nodes run.\n\nIt says every few seconds how far it is."
}

// Validate refuses settings that cannot be meant.
func (c *mendCmd) Validate() error {
	return cmp.Or(c.clusterFlags.Validate(), c.queueFlags.Validate(), c.historyFlags.Validate())
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
	store, err := history.Open(c.historyFlags.options(c.Cluster, n.log))
	if err != nil {
		return err
	}
	n.began("connection to ClickHouse", func(context.Context) error { return store.Close() })
	away := store.Migrate(ctx)
	if away != nil && c.AcceptLoss {
		return fmt.Errorf("ClickHouse has to be up for --accept-loss: %w", away)
	}
	made, gone := c.topics(ctx, n.plan, out)
	if gone != nil && !errors.Is(gone, errTopics) {
		return gone
	}
	broker, err := c.openStream(ctx, n)
	if err != nil {
		return err
	}
	stream := waited{broker}
	v, err := view.New(n.client, view.Options{Name: c.Cluster, Queues: n.plan.Queues(0), Counts: &archive{}, Log: n.log})
	if err != nil {
		return err
	}
	gateways := rpc.NewGateways(registry.Epochs{Registry: n.registry}, n.log)
	defer gateways.Close()
	refill, err := c.refills(n.plan)
	if err != nil {
		return err
	}
	m := mending{
		stream: stream, view: v, transfer: map[chain.Class]*transfercluster.Queue{}, registry: n.registry, history: store,
		away: away, accept: c.AcceptLoss, refill: refill, progress: &progress{}, out: out, mended: made,
	}
	for _, class := range classes {
		m.transfer[class], err = transfercluster.New(transfercluster.Options{
			Name: c.Cluster, Class: class, Stream: stream, Redis: n.client, Registry: n.registry, Node: n.id, Gateways: gateways, Log: n.log,
		})
		if err != nil {
			return err
		}
	}
	errs := errors.Join(gone, m.lookAtAll(ctx, n.plan.Queues(0)))
	errs = errors.Join(errs, m.giveUp(ctx))
	if m.mended == 0 && errs == nil {
		fmt.Fprintln(out, "no queue is behind what the broker keeps, and none lacks what the broker had acknowledged")
	}
	return errs
}

// mending is what it takes to mend queues. Several are mended at the same time.
type mending struct {
	stream   chain.Stream
	view     *view.View
	transfer map[chain.Class]*transfercluster.Queue
	registry registry.Registry
	history  *history.Store
	away     error                // why ClickHouse cannot be asked
	accept   bool                 // what is lost is given up
	refill   map[chain.Queue]bool // whose views are made anew, whatever they are like
	progress *progress

	mu     sync.Mutex
	out    io.Writer
	mended int // topics, marks and views
	losses []*loss
}

// lookAtAll mends what can be mended without giving anything up, and notes the losses.
func (m *mending) lookAtAll(ctx context.Context, queues []chain.Queue) error {
	err := m.each("looking", queues, looksAtOnce, func(queue chain.Queue) error { return m.mend(ctx, queue) })
	slices.SortFunc(m.losses, func(a, b *loss) int {
		return cmp.Or(cmp.Compare(a.queue.Class, b.queue.Class), a.queue.Number-b.queue.Number)
	})
	return err
}

// mend mends a queue: what transfer has of it, then its view.
func (m *mending) mend(ctx context.Context, queue chain.Queue) error {
	first, _, err := m.stream.Bounds(ctx, queue)
	if err != nil {
		return err
	}
	transfer := m.transfer[queue.Class]
	err = transfer.Check(ctx, queue.Number)
	if damaged := errors.Is(err, transfercluster.ErrDamaged); damaged || errors.Is(err, chain.ErrRetention) {
		if err = transfer.Forget(ctx, queue.Number); err == nil {
			was := "behind what the broker keeps"
			if damaged {
				was = "damaged"
			}
			m.mends("%v: transfer's mark was %s and is forgotten; start the transfer nodes again\n", queue, was)
		}
	}
	w, failed := m.view.Writer(queue)
	if failed != nil {
		return errors.Join(err, failed)
	}
	if failed := m.remake(ctx, queue, w, first); failed != nil {
		return errors.Join(err, failed)
	}
	keys, failed := w.Empty(ctx, first)
	if keys > 0 {
		m.mends("%v: its view was behind what the broker keeps, which begins at offset %d; %d keys were removed, and it is filled again\n", queue, first, keys)
	}
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	return m.look(ctx, queue, w)
}

// remake removes a view whose state is damaged, or that --refill names. Its owner then makes it
// anew from ClickHouse and the queue. first is the first offset that the queue still has.
func (m *mending) remake(ctx context.Context, queue chain.Queue, w *view.Writer, first int64) error {
	why := "what Redis said of its view was damaged"
	s, err := w.State(ctx)
	damaged := view.Damaged(err)
	switch {
	case damaged:
	case !m.refill[queue]:
		return nil // the next call returns the error, if there is one
	case err != nil:
		return err
	default:
		why = "its view is made anew"
		// After a loss only the view knows which seqs were given out.
		if found, err := m.find(ctx, queue, s.Mark); err != nil || found[s.Mark] == missing {
			return cmp.Or(err, errNotAnew)
		}
	}
	if m.away != nil {
		return fmt.Errorf("%s, and ClickHouse, from which it is made anew, does not answer: %w", why, m.away)
	}
	_, certain, _, err := m.history.Marks(ctx, queue)
	if err != nil {
		return err
	}
	if certain.Offset+1 < first {
		return fmt.Errorf("%s, and nobody can make it anew: ClickHouse has the queue up to offset %d, and RocketMQ from offset %d on; give Redis a backup", why, certain.Offset, first)
	}
	if !damaged {
		if torn, err := m.torn(ctx, queue, certain, s.Mark); err != nil || torn {
			return cmp.Or(err, errNotAnew)
		}
	}
	keys, err := w.Remove(ctx)
	if keys > 0 {
		m.mends("%v: %s; %d keys were removed, and it is filled again\n", queue, why, keys)
	}
	return err
}

// errNotAnew refuses to remove a view that alone knows which seqs were given out.
var errNotAnew = errors.New("its view is not made anew: RocketMQ has lost records that it had acknowledged")

// refills gives the queues that --refill names.
func (c *mendCmd) refills(plan *cluster.Plan) (map[chain.Queue]bool, error) {
	known := make(map[string]chain.Queue)
	for _, q := range plan.Queues(0) {
		known[fmt.Sprintf("%v.%d", q.Class, q.Number)] = q
	}
	refill := make(map[chain.Queue]bool)
	for _, name := range c.Refill {
		q, ok := known[name]
		if !ok {
			return nil, fmt.Errorf("--refill %s: there is no such queue; those of cluster %s are %s", name, c.Cluster, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		refill[q] = true
	}
	return refill, nil
}
