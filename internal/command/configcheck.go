package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"gannet/internal/chain"
	"gannet/internal/cluster"
	clusterredis "gannet/internal/cluster/redis"
	"gannet/internal/rocketmq"
)

// configCmd is about settings.
type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Say whether the settings of a cluster can be used, which of its servers answer, and why others do not."`
}

// configCheckCmd asks every server that the settings of a role name. A flag given to this command
// goes before the settings of the roles.
type configCheckCmd struct {
	clusterFlags `embed:""`
	queueFlags   `embed:""`
	historyFlags `embed:""`
}

// Help is printed by gannet config check --help.
func (configCheckCmd) Help() string {
	return "Reads the settings as gannet gateway, gannet logic and gannet transfer do, each its own, says what is wrong with them, asks every server that they name whether it can be worked with, and ends with 1 if one cannot. What is a warning, a node starts with. It changes nothing. What depends on the machine that a node runs on, it does not look at: files, ports, the limit on open files."
}

// queueFlags say where the queues are.
type queueFlags struct {
	Rocketmq []string `default:"127.0.0.1:9876" placeholder:"ADDR" help:"Name servers of RocketMQ."`
}

// Validate refuses settings that cannot be meant.
func (f *queueFlags) Validate() error {
	return checkAddresses("rocketmq", "the name servers of RocketMQ", f.Rocketmq)
}

// checkTime bounds the question to one server.
const checkTime = 3 * time.Second

// errServers is what config check ends with where not all is well; the table says why.
var errServers = errors.New("not every setting and server can be worked with")

// Run checks all settings and servers.
func (c *configCheckCmd) Run(ctx context.Context, line *kong.Context) error {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the table says all that the libraries would
	return checkSettings(ctx, os.Stdout, givenFlags(line))
}

// checking is a check under way.
type checking struct {
	table *tabwriter.Writer
	wrong bool
	roles []roleSettings // roles whose settings can be used
}

// checkSettings checks what the roles read, with the flags that were given, and the servers.
func checkSettings(ctx context.Context, to io.Writer, given map[string]string) error {
	c := &checking{table: tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)}
	for _, role := range clusterRoles {
		settings, err := readRole(role, given)
		c.say("settings of "+role, "-", err)
		if err == nil {
			c.roles = append(c.roles, settings)
		}
	}
	c.checkNames()
	c.askRedis(ctx)
	c.askBrokers(ctx)
	c.askPlan(ctx)
	c.askClickHouse(ctx)
	if err := c.table.Flush(); err != nil {
		return err
	}
	if c.wrong {
		return errServers
	}
	return nil
}

// say writes a line of the table.
func (c *checking) say(what, address string, err error) {
	state := "ok"
	if err != nil {
		c.wrong, state = true, strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	fmt.Fprintf(c.table, "%s\t%s\t%s\n", what, address, state)
}

// warn writes a line about a problem with which a node starts all the same. A nil err writes
// nothing.
func (c *checking) warn(what, address string, err error) {
	if err != nil {
		fmt.Fprintf(c.table, "%s\t%s\twarning: %v\n", what, address, err)
	}
}

// checkNames says whether the roles are of one cluster.
func (c *checking) checkNames() {
	names := servers[string]{}
	for _, r := range c.roles {
		names.add(r.Cluster, r.role)
	}
	for _, name := range names.list {
		if len(names.list) > 1 {
			c.say("name"+names.of(name, len(c.roles)), name, errors.New("the roles of a cluster have one name for it (--cluster)"))
		}
	}
}

// redisAt is one server as a role reaches it.
type redisAt struct {
	address, user, password string
	clustered, tls          bool
}

// askRedis asks each server alone. For a Redis Cluster that means every master that this server
// knows.
func (c *checking) askRedis(ctx context.Context) {
	all := servers[redisAt]{}
	for _, r := range c.roles {
		for _, address := range r.Redis {
			all.add(redisAt{address, r.RedisUser, r.RedisPassword, r.RedisCluster || len(r.Redis) > 1, r.RedisTLS}, r.role)
		}
	}
	for _, at := range all.list {
		what := "redis" + all.of(at, len(c.roles))
		one := clusterFlags{Redis: []string{at.address}, RedisUser: at.user, RedisPassword: at.password, RedisCluster: at.clustered, RedisTLS: at.tls}
		client, err := one.redisClient()
		if err != nil {
			c.say(what, at.address, err)
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, checkTime)
		err = client.Check(ctx)
		c.say(what, at.address, err)
		if err == nil {
			c.warn(what, at.address, client.CheckAOF(ctx))
		}
		cancel()
		_ = client.Close()
	}
}

// askBrokers asks the name servers, and the brokers that they know.
func (c *checking) askBrokers(ctx context.Context) {
	all, users := servers[string]{}, 0
	brokers := map[string]string{} // which name server knows it
	for _, r := range c.roles {
		if r.queue != nil {
			users++
			for _, address := range r.queue.Rocketmq {
				all.add(address, r.role)
			}
		}
	}
	for _, address := range all.list {
		names, err := askNameServer(ctx, address)
		c.say("name server"+all.of(address, users), address, err)
		for _, name := range names {
			brokers[name] = address
		}
	}
	for _, name := range sorted(brokers) {
		from := []string{brokers[name]}
		at, err := rocketmq.BrokerAddress(ctx, from, name)
		if err == nil {
			err = dial(ctx, at)
		}
		c.say("broker "+name, cmp.Or(at, "-"), err)
		if err == nil {
			c.warn("broker "+name, at, checkFlush(ctx, from, name))
		}
	}
}

// askPlan checks whether the brokers have the topics and queues of the cluster's plan, if there is
// a plan. It reads the plan from Redis only, because reading it from ClickHouse would make a table
// there.
func (c *checking) askPlan(ctx context.Context) {
	for _, r := range c.roles {
		if r.queue == nil {
			continue
		}
		client, err := r.redisClient()
		if err != nil {
			continue // askRedis reports that
		}
		plan, err := clusterredis.Copy{Client: client, Name: r.Cluster}.Load(ctx)
		_ = client.Close()
		if err == nil && plan == nil {
			c.warn("cluster", r.Cluster, errors.New("not in Redis yet: the first logic node makes it, unless ClickHouse has it"))
			return
		}
		if err != nil {
			continue
		}
		topics := plan.Topics()
		for _, t := range slices.SortedFunc(maps.Keys(topics), func(x, y cluster.Topic) int {
			return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Broker, y.Broker))
		}) {
			ctx, cancel := context.WithTimeout(ctx, checkTime)
			err := rocketmq.CheckTopic(ctx, r.queue.Rocketmq, t.Broker, t.Name, topics[t])
			cancel()
			if errors.Is(err, chain.ErrNoQueue) {
				err = fmt.Errorf("%w; if the broker cannot be brought back as it was, gannet mend --accept-loss goes on without what was in it", err)
			}
			c.say("topic "+t.Name, "broker "+t.Broker, err)
		}
		return
	}
}

// clickhouseAt is one server as a role reaches it.
type clickhouseAt struct{ address, cluster, user, password string }

// askClickHouse asks each server alone.
func (c *checking) askClickHouse(ctx context.Context) {
	all, users := servers[clickhouseAt]{}, 0
	for _, r := range c.roles {
		if r.history != nil {
			users++
			for _, address := range r.history.Clickhouse {
				all.add(clickhouseAt{address, r.Cluster, r.history.ClickhouseUser, r.history.ClickhousePassword}, r.role)
			}
		}
	}
	for _, at := range all.list {
		one := historyFlags{Clickhouse: []string{at.address}, ClickhouseUser: at.user, ClickhousePassword: at.password}
		c.say("clickhouse"+all.of(at, users), at.address, one.plan(at.cluster).Check(ctx))
	}
}

// askNameServer gives the brokers that a name server knows.
func askNameServer(ctx context.Context, address string) ([]string, error) {
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

// warnOfFlush warns of brokers that are not certain to flush before they acknowledge. A node works
// with them all the same: the operator decides how much a power cut may take.
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
