package scenario

import (
	"context"
	"errors"
	"slices"

	"gannet/benchmark/cluster"
)

// partition cuts a gateway off from all other nodes and from Redis, in both directions and
// without a word; its clients stay connected to it.
func partition(ctx context.Context, p *stage) (err error) {
	gateway := p.cluster.Of(cluster.Gateway)[0]
	var proxies []*cluster.Proxy
	defer func() {
		for _, x := range proxies {
			x.Close()
		}
	}()
	// Those who dial it, and Redis, which it dials.
	x, advertise, err := gateway.Proxy(nil)
	if err != nil {
		return err
	}
	proxies = append(proxies, x)
	x, redis, err := p.services.RedisProxy()
	if err != nil {
		return err
	}
	proxies = append(proxies, x)
	gateway.Flags = slices.Concat(advertise, redis)
	changed := []*cluster.Node{gateway}
	// Logic nodes, which it dials as others do.
	for _, n := range p.cluster.Of(cluster.Logic) {
		x, advertise, err := n.Proxy(gateway.PID)
		if err != nil {
			return err
		}
		proxies = append(proxies, x)
		n.Flags = advertise
		changed = append(changed, n)
	}
	restart := func() error {
		for _, n := range changed {
			if err := errors.Join(n.Stop(), n.Start(ctx)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := restart(); err != nil {
		return err
	}
	if err := p.served(ctx, "the restart with proxies", backBar); err != nil {
		return err
	}
	m := p.load.Moment()
	for _, x := range proxies {
		x.Cut()
	}
	took, meanwhile := p.within(ctx, m, p.hold())
	for _, x := range proxies {
		x.Heal()
	}
	if meanwhile {
		p.took("the cut", took, 0)
	}
	if err := p.served(ctx, "its end", backBar); err != nil {
		return err
	}
	for _, n := range changed {
		n.Flags = nil
	}
	if err := restart(); err != nil {
		return err
	}
	return p.served(ctx, "the restart without proxies", backBar)
}
