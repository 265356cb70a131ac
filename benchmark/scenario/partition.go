package scenario

import (
	"context"
	"errors"
	"slices"

	"gannet/benchmark/cluster"
)

// proxies stand between a gateway and all other nodes, and Redis: before it and before
// Redis for what it dials and who dials it, and before the logic nodes, where a cut concerns
// its connections alone.
func proxies(ctx context.Context, p *stage) (undo func(context.Context) error, err error) {
	gateway := p.cluster.Of(cluster.Gateway)[0]
	changed := []*cluster.Node{gateway}
	p.proxies = nil
	undo = func(ctx context.Context) error {
		for _, n := range changed {
			n.Flags = nil
		}
		err := restart(ctx, changed)
		for _, x := range p.proxies {
			x.Close()
		}
		return err
	}
	x, advertise, err := gateway.Proxy(nil)
	if err != nil {
		return undo, err
	}
	p.proxies = append(p.proxies, x)
	x, redis, err := p.services.RedisProxy()
	if err != nil {
		return undo, err
	}
	p.proxies = append(p.proxies, x)
	gateway.Flags = slices.Concat(advertise, redis)
	for _, n := range p.cluster.Of(cluster.Logic) {
		if x, n.Flags, err = n.Proxy(gateway.PID); err != nil {
			return undo, err
		}
		p.proxies = append(p.proxies, x)
		changed = append(changed, n)
	}
	return undo, restart(ctx, changed)
}

// restart ends nodes in order and starts them again, one after the other.
func restart(ctx context.Context, nodes []*cluster.Node) error {
	for _, n := range nodes {
		if err := errors.Join(n.Stop(), n.Start(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// partition cuts a gateway off from all other nodes and from Redis, in both directions and
// without a word; its clients stay connected to it.
func partition(ctx context.Context, p *stage) error {
	m := p.load.Moment()
	for _, x := range p.proxies {
		x.Cut()
	}
	took, meanwhile := p.within(ctx, m, p.hold())
	for _, x := range p.proxies {
		x.Heal()
	}
	if meanwhile {
		p.took("the cut", took, 0)
	}
	return p.served(ctx, "its end", backBar)
}
