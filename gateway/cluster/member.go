// Package cluster makes a gateway a member of a cluster. The gateway is registered, and the epoch
// of its registration is its epoch.
//
// A registration may end because the gateway stood still for longer than an expiry, or because
// the registry was emptied. Others may then have given up whatever was meant for the gateway. So
// when the gateway learns of it, it registers again, binds its connections in the directory under
// the new epoch and hints them to sync (gateway.Renew). It does the same for connections that the
// directory may have lost.
package cluster

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"gannet/internal/registry"
)

// countEvery is how often the registry is told how many are connected.
const countEvery = time.Second

// Gateway is what a member needs of its gateway; gateway.Gateway has it.
type Gateway interface {
	Renew(epoch uint64)
	BindAgain(of func(user uint64) bool)
	Connections() int
}

// Directory reports losses. The directory in Redis implements it.
type Directory interface {
	Watch(ctx context.Context, every time.Duration, lost func(user func(user uint64) bool))
}

// Options describe a member. All but Log are required.
type Options struct {
	Registry  registry.Registry
	Directory Directory
	Node      registry.Node // Join sets its role, and each registration its epoch
	Gateway   Gateway
	Log       *slog.Logger
}

// Member is a gateway in the cluster. Make it with Join before the gateway has connections,
// end it with Leave.
type Member struct {
	options Options
	keeper  *registry.Keeper
	cancel  context.CancelFunc
	ended   sync.WaitGroup
	joined  chan struct{}
	once    sync.Once
}

// Join keeps the gateway registered from now on.
func Join(o Options) *Member {
	o.Node.Role = registry.Gateway
	m := &Member{options: o, keeper: registry.NewKeeper(o.Registry, o.Node, o.Log), joined: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	m.ended.Go(func() { o.Directory.Watch(ctx, 0, o.Gateway.BindAgain) })
	m.ended.Go(func() { m.keeper.Run(ctx, m.began) })
	m.ended.Go(func() { m.count(ctx) })
	return m
}

// began takes a registration.
func (m *Member) began(r registry.Registration) {
	m.options.Gateway.Renew(r.Epoch())
	m.once.Do(func() { close(m.joined) })
}

// Joined is closed when the gateway has been registered for the first time. Connections that log
// in before that are bound again then.
func (m *Member) Joined() <-chan struct{} { return m.joined }

// Drain tells all others that the gateway finishes what it has.
func (m *Member) Drain(ctx context.Context) error { return m.keeper.SetState(ctx, registry.Draining) }

// Leave ends the registration. Call it when the gateway has no connections any more.
func (m *Member) Leave() {
	m.cancel()
	m.ended.Wait()
}

// count tells the registry how many are connected.
func (m *Member) count(ctx context.Context) {
	ticker := time.NewTicker(countEvery)
	defer ticker.Stop()
	for {
		m.keeper.Count(uint64(m.options.Gateway.Connections()))
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
