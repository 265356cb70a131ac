package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"gannet/gateway"
	"gannet/idl/rpc"
	"gannet/internal/chain"
	"gannet/internal/cluster"
	"gannet/internal/cluster/clickhouse"
	clusterredis "gannet/internal/cluster/redis"
	"gannet/internal/limiter"
	"gannet/internal/operate"
	"gannet/internal/registry"
	"gannet/internal/rocketmq"
	"gannet/internal/token"
	"gannet/logic"
	"gannet/logic/cluster/history"
	"gannet/logic/cluster/owner"
	"gannet/logic/cluster/view"
	"gannet/protocol"
	transfercluster "gannet/transfer/cluster"
)

// logicCmd is the role that carries out what clients ask for.
type logicCmd struct {
	Keys            string        `default:"./gannet-data/keys" placeholder:"DIR" help:"Folder of the keys of tokens: the same keys for all logic nodes. The one that makes the cluster makes a key where there is none."`
	BrokerRetention time.Duration `default:"72h" placeholder:"DURATION" help:"For how long RocketMQ keeps records (fileReservedTime, by default 72 hours): a warning says if it removes some sooner, and senders are told busy while transfer is behind by nine tenths of it. At least 1h, or 0: do not look."`

	HistoryKeep time.Duration `default:"720h" placeholder:"DURATION" help:"How long messages are kept at least; they are removed by the week. At least 24h, or 0: for ever."`

	Queues int `default:"16" placeholder:"N" help:"Queues of each class, which counts when the cluster is made and never after: one or two for every two cores of all its logic nodes. A message costs the less the more of them share a record, so fewer is cheaper."`

	queueFlags   `embed:""`
	historyFlags `embed:""`
	limitFlags   `embed:""`
	nodeFlags    `embed:""`
}

// historyFlags say where the history is.
type historyFlags struct {
	Clickhouse         []string `default:"127.0.0.1:9000" placeholder:"ADDR" help:"ClickHouse, by its native protocol; of several addresses the first that answers is used."`
	ClickhouseUser     string   `default:"default" placeholder:"NAME" help:"User for ClickHouse."`
	ClickhousePassword string   `placeholder:"SECRET" help:"Password for ClickHouse; better set in the environment or the settings file."`
	ClickhouseCompress string   `default:"none" enum:"none,lz4" help:"How what goes to ClickHouse and back is compressed on its way: none, or lz4, which makes each insert cost a logic node a third more, and is for a ClickHouse in another data centre."`
}

// Validate refuses settings that cannot be meant.
func (f *historyFlags) Validate() error {
	return checkAddresses("clickhouse", "ClickHouse", f.Clickhouse)
}

// options says how the history of a cluster is reached.
func (f *historyFlags) options(cluster string, log *slog.Logger) history.Options {
	return history.Options{
		Addresses: f.Clickhouse, Database: cluster, User: f.ClickhouseUser, Password: f.ClickhousePassword,
		Compress: f.ClickhouseCompress == "lz4", Log: log,
	}
}

// Help is printed by gannet logic --help.
func (logicCmd) Help() string {
	return "Starts a logic node of a cluster: it gives messages their places and makes them durable in the queues that are its share. The first one makes the cluster. Stop it with Ctrl-C or SIGTERM: others take its queues over."
}

const (
	// leastHistory is the least --history-keep. Older messages are removed for good as soon as the
	// node starts, so a value that was given in the wrong unit must be refused.
	leastHistory = 24 * time.Hour

	// leastRetention is the least --broker-retention. fileReservedTime is in whole hours. Senders
	// hear busy when transfer is behind by nine tenths of the retention, and with less than an hour
	// a deploy would already do that.
	leastRetention = time.Hour
)

// Validate refuses settings that cannot be meant.
func (c *logicCmd) Validate() error {
	if c.HistoryKeep != 0 && c.HistoryKeep < leastHistory {
		return fmt.Errorf("--history-keep %v: it is at least %v, because older messages are removed for good, or 0 to keep them for ever", c.HistoryKeep, leastHistory)
	}
	if c.BrokerRetention != 0 && c.BrokerRetention < leastRetention {
		return fmt.Errorf("--broker-retention %v: it is at least %v, because a broker keeps records for whole hours and senders are told busy when transfer is behind by nine tenths of it, or 0 not to look", c.BrokerRetention, leastRetention)
	}
	if c.Queues < 1 || c.Queues > protocol.Partitions {
		return fmt.Errorf("--queues %d: there are 1 to %d", c.Queues, protocol.Partitions)
	}
	return cmp.Or(c.queueFlags.Validate(), c.historyFlags.Validate(), c.limitFlags.Validate(), c.nodeFlags.Validate())
}

// Run starts it and stops it when ctx ends.
func (c *logicCmd) Run(ctx context.Context) error {
	return c.runNode(ctx, c.start,
		func(n *node) string {
			return fmt.Sprintf("gannet %s: logic node of cluster %s for other nodes on %s, keys in %s", version(), c.Cluster, n.address, c.Keys)
		},
		func(n *node) ready { return ready{RPC: n.address} })
}

func (c *logicCmd) start(ctx context.Context, log *slog.Logger) (*node, error) {
	n, err := c.open(ctx, registry.Logic, log)
	if err != nil {
		return n, err
	}
	gateways := rpc.NewGateways(registry.Epochs{Registry: n.registry}, n.log)
	n.began("connections to gateways", func(context.Context) error { gateways.Close(); return nil })
	if n.plan, err = c.agree(ctx, n, gateways); err != nil {
		return n, err
	}
	keys, err := c.loadKeys()
	if err != nil {
		return n, err
	}
	n.keys = keys.Names()
	if err := n.sameKeys(ctx); err != nil {
		return n, err
	}
	var keeping sync.WaitGroup
	keep, cancel := context.WithCancel(n.ctx)
	keeping.Go(func() { n.keepPlan(keep, c.Cluster) })
	n.began("upkeep of the plan in Redis", func(context.Context) error { cancel(); keeping.Wait(); return nil })
	stream, err := c.openStream(ctx, n)
	if err != nil {
		return n, err
	}
	brokers := map[string]bool{}
	for topic := range n.plan.Topics() {
		brokers[topic.Broker] = true
	}
	c.warnOfFlush(ctx, sorted(brokers), n.log)
	limits, limited := c.sharedLimiter(n)
	a, v, err := c.openArchive(n)
	if err != nil {
		return n, err
	}
	inbox := &owner.Inbox{View: v}
	for _, class := range classes {
		o := owner.Options{
			Node: n.id, Registry: n.registry, Class: class, Queues: len(n.plan.Queues(class)), Stream: stream, View: v, History: a, Feeder: feed{a.feeder},
			Devices: c.conversationDevices(), Retention: c.BrokerRetention, Newer: n.saw, Log: n.log,
			Reader: func(ctx context.Context, queue chain.Queue) (chain.Mark, error) {
				return transfercluster.Mark(ctx, n.client, c.Cluster, queue)
			},
		}
		if limits != nil {
			o.Admit = func(user uint64) time.Duration { return limits.Take(limiter.NewConversations, limiter.User(user), 1) }
		}
		own, err := owner.New(o)
		if err != nil {
			return n, err
		}
		n.began(fmt.Sprintf("work on the %v queues", class), own.Close)
		a.owner(class).Store(own)
		inbox.Owners = append(inbox.Owners, own)
	}
	chat, system := a.chat.Load(), a.system.Load()
	receipts := rpc.NewReceipts(n.nodes.of(registry.Transfer, chain.Chat), n.log)
	n.began("connections to transfer", func(context.Context) error { receipts.Close(); return nil })
	config := logic.Config{
		Log: chat, History: a.reader, Inbox: inbox, Social: logic.Direct{},
		Receipts: receipts, Directory: n.directory, Gateways: gateways, Tokens: keys,
		Queues: len(n.plan.Chat), Server: n.plan.Server, Logger: n.log,
	}
	c.applyTo(&gateway.Config{}, &config)
	rules := logic.New(config)
	server := rpc.ServeLogic(n.listener, rules, placement{n.nodes.of(registry.Logic, chain.Chat), n.id}, rpc.Config{Log: n.log})
	n.began("server for other nodes", server.Stop)
	if err := n.watch(&c.processFlags, operate.Sources{
		Vars: func() map[string]any {
			return map[string]any{
				"logic": rules.Stats(), "rpc": server.Stats(), "gateways": gateways.Stats(), "receipts": receipts.Stats(),
				"queues_chat": chat.Vars(), "queues_system": system.Vars(),
				"view": v.Vars(), "history": a.store.Vars(), "broker": troubles(stream), "limiter": limited(),
			}
		},
		Queues: func(ctx context.Context) []operate.OfQueue {
			return append(chat.Gauges(ctx), system.Gauges(ctx)...)
		},
		Unreadable:  func() any { return []any{} },
		Connections: func() uint64 { return 0 },
		Health:      func() error { return errors.Join(chat.Health(), system.Health()) },
	}); err != nil {
		return n, err
	}
	keeper, err := n.register(ctx)
	n.began("service of this node", func(ctx context.Context) error { // first of all: others take over what is this node's
		var errs error
		for _, own := range []*owner.Owner{chat, system} {
			errs = errors.Join(errs, own.Drain(ctx))
		}
		return errors.Join(errs, keeper.SetState(ctx, registry.Draining))
	})
	if err == nil {
		err = n.sameKeys(ctx)
	}
	return n, err
}

// joinPause is how long a logic node is registered before it takes over queues of other nodes. The
// other nodes look at the registry twice a second. In this time they stop keeping acks in memory,
// which would be lost with the queues.
const joinPause = time.Second

// migratePause is the pause between two tries to bring the schema to the version of this program;
// newerPause is the pause if the schema is of a newer version.
const (
	migratePause = time.Second
	newerPause   = time.Minute
)

// openArchive connects to ClickHouse, which may be down. If a newer program owns the schema, the
// start fails: other nodes can use ClickHouse, and this node would own queues whose history it
// cannot read.
func (c *logicCmd) openArchive(n *node) (*archive, *view.View, error) {
	store, err := history.Open(c.options(c.Cluster, n.log))
	if err != nil {
		return nil, nil, err
	}
	n.began("connection to ClickHouse", func(context.Context) error { return store.Close() })
	if err := store.Check(n.ctx); err != nil {
		return nil, nil, err
	}
	a := &archive{store: store, queues: len(n.plan.Chat)}
	a.reader = history.NewReader(store, a)
	work, cancel := context.WithCancel(n.ctx)
	var upkeep sync.WaitGroup
	upkeep.Go(func() {
		for err := store.Migrate(work); err != nil; err = store.Migrate(work) {
			wait := migratePause
			if errors.Is(err, history.ErrNewer) {
				wait = newerPause
			}
			if operate.Pause(work, wait) != nil {
				return
			}
		}
		c.retain(work, store, n.log)
	})
	n.began("upkeep of ClickHouse", func(context.Context) error { cancel(); upkeep.Wait(); return nil })
	a.feeder = history.NewFeeder(store, history.FeederOptions{Behind: a.behind})
	n.began("feeder of ClickHouse", a.feeder.Stop)
	v, err := view.New(n.client, view.Options{Name: c.Cluster, Queues: n.plan.Queues(0), Counts: a, Log: n.log})
	return a, v, err
}

// retainPause is between two looks for weeks that are old enough to be removed.
const retainPause = time.Hour

// retain removes old messages until ctx ends.
func (c *logicCmd) retain(ctx context.Context, store *history.Store, log *slog.Logger) {
	for c.HistoryKeep > 0 {
		if weeks, err := store.Retain(ctx, c.HistoryKeep, time.Now()); err == nil && weeks > 0 {
			log.Info("old messages were removed", "weeks", weeks, "kept", c.HistoryKeep)
		}
		if operate.Pause(ctx, retainPause) != nil {
			return
		}
	}
}

// agree finds the plan of the cluster, or makes the cluster.
func (c *logicCmd) agree(ctx context.Context, n *node, gateways *rpc.Gateways) (*cluster.Plan, error) {
	plan, err := cluster.Agree(ctx, clusterredis.Copy{Client: n.client, Name: c.Cluster}, c.plan(c.Cluster), func() (*cluster.Plan, error) { return c.makeCluster(ctx, n, gateways) })
	if err != nil {
		return nil, err
	}
	if len(plan.Chat) != c.Queues {
		n.log.Warn("the cluster was made with another number of queues, which stays", "queues", len(plan.Chat), "--queues", c.Queues)
	}
	return plan, nil
}

// plan gives access to the copy of a cluster's plan in ClickHouse.
func (f *historyFlags) plan(name string) clickhouse.Copy {
	return clickhouse.Copy{Name: name, Options: clickhouse.Options{
		Addresses: f.Clickhouse, Database: name, User: f.ClickhouseUser, Password: f.ClickhousePassword, Timeout: checkTime,
	}}
}

// makeCluster makes the queues, and sets the marks of transfer to the beginning of each queue.
func (c *logicCmd) makeCluster(ctx context.Context, n *node, gateways *rpc.Gateways) (*cluster.Plan, error) {
	if _, err := token.OpenKeys(c.Keys); err != nil { // the first logic node makes them, as it makes the cluster
		return nil, err
	}
	brokers, err := rocketmq.Brokers(ctx, c.Rocketmq)
	if err != nil {
		return nil, fmt.Errorf("%w (where the name servers are says --rocketmq)", err)
	}
	plan, err := cluster.New(c.Cluster, c.Queues, brokers)
	if err != nil {
		return nil, err
	}
	for topic, queues := range plan.Topics() {
		if err := rocketmq.MakeTopic(ctx, c.Rocketmq, topic.Broker, topic.Name, queues); err != nil {
			return nil, err
		}
	}
	n.plan = plan
	stream, err := c.openStream(ctx, n)
	if err != nil {
		return nil, err
	}
	for _, class := range classes {
		q, err := transfercluster.New(transfercluster.Options{
			Name: c.Cluster, Class: class, Stream: stream, Redis: n.client, Registry: n.registry, Node: n.id, Gateways: gateways, Log: n.log,
		})
		if err == nil {
			err = q.Begin(ctx, numbers(len(plan.Queues(class)))...)
		}
		if err != nil {
			return nil, err
		}
	}
	n.log.Info("the cluster is made", "cluster", c.Cluster, "queues", c.Queues, "brokers", brokers)
	return plan, nil
}
