package transfer

import (
	"context"
	"sync"
	"time"
)

const (
	// courierTick is how often couriers are checked. It is less than their shortest pause.
	courierTick = 25 * time.Millisecond

	// courierIdle is how long a courier without work is kept: longer than any pause
	// of a gateway that lives.
	courierIdle = time.Minute

	// stopPatience is how long Stop waits for gateways that have not answered.
	stopPatience = 2 * time.Second
)

// couriers has one courier for each epoch that gets pushes. courier.mu may be taken while
// couriers.mu is held, but never the other way round.
type couriers struct {
	server *Server

	mu      sync.RWMutex
	byEpoch map[uint64]*courier
}

// send hands a parcel to the courier of its gateway.
func (t *couriers) send(ctx context.Context, p *parcel) {
	for !t.of(p.epoch).send(ctx, p) {
		t.remove(p.epoch) // it has ended: its epoch ended, or it was idle for long
	}
}

func (t *couriers) of(epoch uint64) *courier {
	t.mu.RLock()
	c := t.byEpoch[epoch]
	t.mu.RUnlock()
	if c != nil {
		return c
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if c = t.byEpoch[epoch]; c == nil {
		c = &courier{couriers: t, epoch: epoch, most: togetherBytes, idle: time.Now()}
		t.byEpoch[epoch] = c
	}
	return c
}

// remove takes out a courier that has ended.
func (t *couriers) remove(epoch uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.byEpoch[epoch]; c != nil {
		c.mu.Lock()
		if c.ended {
			delete(t.byEpoch, epoch)
		}
		c.mu.Unlock()
	}
}

func (t *couriers) all() []*courier {
	t.mu.RLock()
	defer t.mu.RUnlock()
	list := make([]*courier, 0, len(t.byEpoch))
	for _, c := range t.byEpoch {
		list = append(list, c)
	}
	return list
}

// run looks after the couriers until the server stops.
func (t *couriers) run() {
	ticker := time.NewTicker(courierTick)
	defer ticker.Stop()
	for {
		select {
		case <-t.server.ctx.Done():
			return
		case now := <-ticker.C:
			for _, c := range t.all() {
				if c.tick(now) {
					t.remove(c.epoch)
				}
			}
		}
	}
}

// drain waits until no courier has anything to do, but no longer than patience.
func (t *couriers) drain(patience time.Duration) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(courierTick) {
		busy := false
		for _, c := range t.all() {
			c.mu.Lock()
			busy = busy || len(c.current) > 0 || len(c.waiting) > 0 || c.everything
			c.mu.Unlock()
		}
		if !busy {
			return
		}
	}
}
