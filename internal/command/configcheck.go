package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"text/tabwriter"
	"time"

	"gannet/internal/rocketmq"
)

// configCmd is about settings.
type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Say which servers of a cluster answer, and why others do not."`
}

// configCheckCmd asks every server that the settings name.
type configCheckCmd struct {
	clusterFlags `embed:""`
	queueFlags   `embed:""`
	historyFlags `embed:""`
}

// Help is printed by gannet config check --help.
func (configCheckCmd) Help() string {
	return "Reads the settings as the nodes of a cluster do, asks every server that they name whether it can be worked with, and ends with 1 if one cannot. It changes nothing."
}

// queueFlags say where the queues are.
type queueFlags struct {
	Rocketmq []string `default:"127.0.0.1:9876" placeholder:"ADDR" help:"Name servers of RocketMQ."`
}

// checkTime bounds the question to one server.
const checkTime = 3 * time.Second

// errServers is what config check ends with where not all is well; the table says why.
var errServers = errors.New("not every server can be worked with")

// Run asks them all.
func (c *configCheckCmd) Run(ctx context.Context) error {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the table says all that the libraries would
	return c.check(ctx, os.Stdout)
}

func (c *configCheckCmd) check(ctx context.Context, to io.Writer) error {
	t := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	wrong := false
	say := func(what, address string, err error) {
		state := "ok"
		if err != nil {
			wrong, state = true, err.Error()
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", what, address, state)
	}
	for _, address := range c.Redis {
		say("redis", address, c.askRedis(ctx, address))
	}
	brokers := map[string]bool{}
	for _, address := range c.Rocketmq {
		names, err := askNameServer(ctx, address)
		say("name server", address, err)
		for _, name := range names {
			brokers[name] = true
		}
	}
	for _, name := range sorted(brokers) {
		at, err := rocketmq.BrokerAddress(ctx, c.Rocketmq, name)
		if err == nil {
			err = dial(ctx, at)
		}
		if err == nil {
			err = checkFlush(ctx, c.Rocketmq, name)
		}
		say("broker "+name, cmp.Or(at, "-"), err)
	}
	for _, address := range c.Clickhouse {
		one := c.historyFlags
		one.Clickhouse = []string{address}
		say("clickhouse", address, one.plan(c.Cluster).Check(ctx))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if wrong {
		return errServers
	}
	return nil
}

// askRedis asks one server alone; of a cluster that is every master that it knows.
func (c *configCheckCmd) askRedis(ctx context.Context, address string) error {
	one := c.clusterFlags
	one.Redis, one.RedisCluster = []string{address}, c.RedisCluster || len(c.Redis) > 1
	client, err := one.redisClient()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	return client.Check(ctx)
}

// askNameServer gives the brokers that a name server knows.
func askNameServer(ctx context.Context, address string) ([]string, error) {
	if err := checkAddress(address); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	names, err := rocketmq.Brokers(ctx, []string{address})
	if err == nil && len(names) == 0 {
		err = errors.New("it knows no broker: is one running, with this name server in its settings?")
	}
	return names, err
}

// checkFlush says whether a broker has records on its disk when it acknowledges them.
func checkFlush(ctx context.Context, nameServers []string, broker string) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	return rocketmq.CheckFlush(ctx, nameServers, broker)
}

// warnOfFlush warns of brokers that do not, or do not say so. With them a node works all the
// same: how much a power cut may take is for whoever runs it to say.
func (f *queueFlags) warnOfFlush(ctx context.Context, brokers []string, log *slog.Logger) {
	for _, name := range brokers {
		if err := checkFlush(ctx, f.Rocketmq, name); err != nil {
			log.Warn("it is not certain that what is acked survives a power cut of a broker", "broker", name, "error", err)
		}
	}
}

// dial says whether somebody accepts connections at an address.
func dial(ctx context.Context, address string) error {
	conn, err := (&net.Dialer{Timeout: checkTime}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}
