// Package cluster makes a gateway a member of a cluster: it is registered, and its epoch is
// that of its registration.
//
// Where the gateway learns that its registration has ended, because it stood still for
// longer than an expiry or the registry was emptied, others may have given up what was
// meant for it. It registers again, and under the new epoch its connections are bound in
// the directory once more and hinted to sync (gateway.Renew). They are too where the
// directory may have lost them.
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

// Directory tells of losses; that in Redis does.
type Directory interface {
	Watch(ctx context.Context, every time.Duration, lost func(user func(user uint64) bool))
}

// Options say who is a member. All but Log are required.
type Options struct {
	Registry  registry.Registry
	Directory Directory
	Node      registry.Node // its role and epoch are filled in
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

// Join has the gateway registered from now on.
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

// Joined is closed once the gateway was registered for the first time. Who logs in before
// that is bound again then.
func (m *Member) Joined() <-chan struct{} { return m.joined }

// Drain tells all others that the gateway finishes what it has.
func (m *Member) Drain(ctx context.Context) error { return m.keeper.SetState(ctx, registry.Draining) }

// Vars are counters for the debug address.
func (m *Member) Vars() map[string]uint64 { return m.keeper.Vars() }

// Leave ends the registration, for a gateway that has no connections any more.
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
