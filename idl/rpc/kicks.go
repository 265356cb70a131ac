package rpc

import (
	"context"
	"sync"

	"gannet/internal/hop"
	"gannet/protocol"
)

// kicks batches the connections that gateways have to close: while one call to a gateway is under
// way, the next one fills.
type kicks struct {
	gateways *Gateways

	mu       sync.Mutex
	underWay map[uint64]*kick // by epoch: the next call, which fills; nil: nothing for it yet
}

// kick is one call.
type kick struct {
	conns []uint64
	codes []int32
	done  chan struct{} // closed when it is answered
	err   error
}

// add puts a connection into the next call to its gateway, starts the calls if none is under way,
// and waits for the answer or the end of ctx.
func (k *kicks) add(ctx context.Context, at hop.Address, code protocol.Code) error {
	k.mu.Lock()
	next, busy := k.underWay[at.Gateway]
	if next == nil {
		next = &kick{done: make(chan struct{})}
		if k.underWay == nil {
			k.underWay = make(map[uint64]*kick)
		}
	}
	next.conns, next.codes = append(next.conns, at.Conn), append(next.codes, int32(code))
	if busy {
		k.underWay[at.Gateway] = next
	} else {
		k.underWay[at.Gateway] = nil
		go k.run(context.WithoutCancel(ctx), at.Gateway, next)
	}
	k.mu.Unlock()
	select {
	case <-next.done:
		return next.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run makes calls to one gateway until nothing waits for another one.
func (k *kicks) run(ctx context.Context, epoch uint64, next *kick) {
	for next != nil {
		next.err = k.gateways.kick(ctx, epoch, next.conns, next.codes)
		close(next.done)
		k.mu.Lock()
		if next = k.underWay[epoch]; next == nil {
			delete(k.underWay, epoch)
		} else {
			k.underWay[epoch] = nil
		}
		k.mu.Unlock()
	}
}
