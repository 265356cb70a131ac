package command

import (
	"context"
	"fmt"
	"sync/atomic"

	"gannet/gateway"
	"gannet/internal/hop"
	"gannet/protocol"
	"gannet/transfer"
)

// localGateway is the only gateway there is, as logic and transfer see it. Until
// gateway is set there are no connections.
type localGateway struct {
	gateway atomic.Pointer[gateway.Gateway]
}

// of gives the gateway if this is its epoch.
func (l *localGateway) of(epoch uint64) *gateway.Gateway {
	if g := l.gateway.Load(); g != nil && g.Epoch() == epoch {
		return g
	}
	return nil
}

// Kick implements logic.Gateways.
func (l *localGateway) Kick(_ context.Context, at hop.Address, code protocol.Code) error {
	if g := l.of(at.Gateway); g != nil {
		g.Kick(at.Conn, code)
	}
	return nil
}

// Push implements transfer.Gateways. A gateway in this process answers at once.
func (l *localGateway) Push(ctx context.Context, epoch uint64, pushes []*hop.Push, done func(absent []uint64, err error)) {
	g := l.of(epoch)
	if g == nil {
		done(nil, transfer.ErrEnded)
		return
	}
	for _, push := range pushes {
		if err := push.Check(); err != nil {
			done(nil, fmt.Errorf("%w: %w", transfer.ErrRefused, err))
			return
		}
	}
	var absent []uint64
	for _, push := range pushes {
		absent = append(absent, g.Push(ctx, push)...)
	}
	done(absent, nil)
}
