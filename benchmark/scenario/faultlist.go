package scenario

import (
	"context"
	"errors"
	"time"

	"gannet/benchmark/cluster"
	"gannet/benchmark/load"
	"gannet/benchmark/meter"
)

// clusterFaults gives all faults, in the order in which they are played.
func clusterFaults() []fault {
	return []fault{
		{name: "kill-gateway", does: "kill -9 of a gateway", play: killNode(cluster.Gateway, toldBar)},
		{name: "kill-logic", does: "kill -9 of a logic node", play: killNode(cluster.Logic, toldBar)},
		{name: "kill-transfer", does: "kill -9 of a transfer node", play: killNode(cluster.Transfer, deathBar)},

		{name: "kill-redis", does: "kill -9 of Redis, which comes back with its data", play: func(ctx context.Context, p *stage) error {
			return p.killServer(ctx, cluster.Redis, nil)
		}},
		{name: "empty-redis", does: "kill -9 of Redis, which comes back empty", play: func(ctx context.Context, p *stage) error {
			return p.killServer(ctx, cluster.Redis, func() error { return p.services.StartEmpty(ctx, cluster.Redis) })
		}},
		{name: "older-redis", does: "kill -9 of Redis, which comes back with data that is a second older", play: olderRedis},
		{name: "empty-redis-alone", does: "kill -9 of Redis, which comes back empty while ClickHouse is away", play: emptyRedisAlone},

		{name: "kill-broker", does: "kill -9 of the broker, which is started again", play: func(ctx context.Context, p *stage) error {
			return p.killServer(ctx, cluster.Broker, nil)
		}},
		{name: "clickhouse-away", does: "ClickHouse is away for a minute", play: clickhouseAway},

		{name: "stop-gateway", does: "SIGSTOP of a gateway for a while", play: freezeNode(cluster.Gateway)},
		{name: "stop-logic", does: "SIGSTOP of a logic node for a while, with sends under way", play: freezeNode(cluster.Logic)},
		{name: "stop-transfer", does: "SIGSTOP of a transfer node for a while", play: freezeNode(cluster.Transfer)},
		{name: "stop-redis", does: "SIGSTOP of Redis for a while", play: freezeServer(cluster.Redis)},
		{name: "stop-broker", does: "SIGSTOP of the broker for a while", play: freezeServer(cluster.Broker)},

		{name: "rolling-restart", does: "every process is ended in order and started again, one after the other", play: rollingRestart},
		{name: "partition", does: "a gateway is cut off from all other nodes and from Redis for a while", prepare: proxies, play: partition},
		{name: "login-race", does: "many thousand logins, each racing a message to who logs in", play: loginRace, alone: true},
	}
}

// killNode kills the node of a role that has the most to do; others have to take it over.
func killNode(role string, bar time.Duration) func(context.Context, *stage) error {
	return func(ctx context.Context, p *stage) error {
		n, err := p.victim(role)
		if err != nil {
			return err
		}
		m := p.load.Moment()
		n.Kill()
		if err := p.servedFrom(ctx, m, "kill -9 of "+n.Name, bar); err != nil {
			return err
		}
		if err := meter.Rest(ctx, calm); err != nil {
			return err
		}
		if err := n.replaced(); err != nil {
			return err
		}
		if err := n.Start(ctx); err != nil {
			return err
		}
		return p.served(ctx, "it is back", backBar)
	}
}

// freezeNode stops the node of a role that has the most to do for a while. Nobody is told, so there
// is no bar for the time until others have taken its queues over, which they must have done by the end.
func freezeNode(role string) func(context.Context, *stage) error {
	return func(ctx context.Context, p *stage) error {
		n, err := p.victim(role)
		if err != nil {
			return err
		}
		m := p.load.Moment()
		if err := n.Freeze(); err != nil {
			return err
		}
		took, meanwhile := p.within(ctx, m, p.hold())
		if role != cluster.Gateway { // whose clients wait for it, since their connections stand
			err = n.replaced()
		}
		if err := errors.Join(err, n.Thaw()); err != nil {
			return err
		}
		if meanwhile {
			p.took("SIGSTOP of "+n.Name, took, 0)
		}
		return p.served(ctx, "SIGCONT", backBar)
	}
}

// freezeServer stops a server for a while.
func freezeServer(name string) func(context.Context, *stage) error {
	return func(ctx context.Context, p *stage) error {
		if err := p.services.Freeze(ctx, name); err != nil {
			return err
		}
		if err := meter.Rest(ctx, p.hold()); err != nil {
			return err
		}
		if err := p.services.Thaw(ctx, name); err != nil {
			return err
		}
		return p.served(ctx, "SIGCONT", backBar)
	}
}

// killServer kills a server and starts it again, by start if that is not nil.
func (p *stage) killServer(ctx context.Context, name string, start func() error) error {
	if err := p.services.Kill(ctx, name); err != nil {
		return err
	}
	if start == nil {
		start = func() error { return p.services.Start(ctx, name) }
	}
	if err := start(); err != nil {
		return err
	}
	return p.served(ctx, "it is back", backBar)
}

// older is by how much the data is older that a server comes back with.
const older = time.Second

func olderRedis(ctx context.Context, p *stage) error {
	if err := p.services.Keep(cluster.Redis); err != nil {
		return err
	}
	if err := meter.Rest(ctx, older); err != nil {
		return err
	}
	return p.killServer(ctx, cluster.Redis, func() error {
		if err := p.services.Restore(cluster.Redis); err != nil {
			return err
		}
		return p.services.Start(ctx, cluster.Redis)
	})
}

// emptyRedisAlone: the owners know all conversations of the load, so all take sends again
// before ClickHouse is back.
func emptyRedisAlone(ctx context.Context, p *stage) error {
	if err := p.services.Kill(ctx, cluster.ClickHouse); err != nil {
		return err
	}
	if err := p.killServer(ctx, cluster.Redis, func() error { return p.services.StartEmpty(ctx, cluster.Redis) }); err != nil {
		return err
	}
	if err := meter.Rest(ctx, calm); err != nil {
		return err
	}
	if err := p.services.Start(ctx, cluster.ClickHouse); err != nil {
		return err
	}
	return p.served(ctx, "ClickHouse is back", backBar)
}

func clickhouseAway(ctx context.Context, p *stage) error {
	away := time.Minute
	if p.Short {
		away = 15 * time.Second
	}
	m := p.load.Moment()
	if err := p.services.Kill(ctx, cluster.ClickHouse); err != nil {
		return err
	}
	if err := p.servedFrom(ctx, m, "kill -9 of ClickHouse", deathBar); err != nil {
		return err
	}
	if err := meter.Rest(ctx, away); err != nil {
		return err
	}
	if err := p.served(ctx, "a while without it", deathBar); err != nil {
		return err
	}
	if err := p.services.Start(ctx, cluster.ClickHouse); err != nil {
		return err
	}
	return p.served(ctx, "it is back", backBar)
}

// rollingRestart: an order that is not that of a start.
func rollingRestart(ctx context.Context, p *stage) error {
	for _, n := range p.cluster.Nodes {
		m := p.load.Moment()
		if err := n.Stop(); err != nil {
			return err
		}
		if err := n.Start(ctx); err != nil {
			return err
		}
		if err := p.servedFrom(ctx, m, "SIGTERM of "+n.Name, backBar); err != nil {
			return err
		}
	}
	for _, name := range []string{cluster.ClickHouse, cluster.Redis, cluster.NameServer, cluster.Broker} {
		if err := p.services.Stop(ctx, name); err != nil {
			return err
		}
		if err := p.services.Start(ctx, name); err != nil {
			return err
		}
		if err := p.served(ctx, name+" is back", backBar); err != nil {
			return err
		}
	}
	return nil
}

// within gives when all users were served after a moment, if that was before a time has
// passed, and in any case lets it pass.
func (p *stage) within(ctx context.Context, m *load.Moment, limit time.Duration) (took time.Duration, ok bool) {
	took, err := m.Await(ctx, limit)
	_ = meter.Rest(ctx, limit-took)
	return took, err == nil
}
