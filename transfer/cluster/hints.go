package cluster

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"gannet/internal/hop"
	"gannet/internal/operate"
	"gannet/internal/registry"
	"gannet/transfer"
)

const (
	hintTimeout   = 2 * time.Second
	hintPause     = 100 * time.Millisecond
	hintPauseMost = 2 * time.Second
)

// hints has every connected device told to sync.
type hints struct {
	gateways transfer.Gateways
	registry registry.Registry

	begun    atomic.Uint64 // rounds
	mu       sync.Mutex    // one round at a time
	complete uint64        // the newest round that all gateways have answered
	failed   operate.Trouble
}

// everybody returns when each gateway that was registered before the call has hinted its
// connections, or its registration has ended. Callers that come while a round is under way share
// the next one. An error is that of ctx.
func (h *hints) everybody(ctx context.Context) error {
	next := h.begun.Load() + 1
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.complete >= next { // that round began after this call
		return nil
	}
	round := h.begun.Add(1)
	for pause := hintPause; h.registry.Refresh(ctx) != nil; pause = min(2*pause, hintPauseMost) {
		h.failed.Count()
		if err := operate.Pause(ctx, pause); err != nil {
			return err
		}
	}
	var all sync.WaitGroup
	for _, n := range h.registry.View().Of(registry.Gateway) {
		all.Go(func() { h.gateway(ctx, n.Epoch) })
	}
	all.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	h.complete = round
	return nil
}

// gateway tells one gateway again and again until it has answered.
func (h *hints) gateway(ctx context.Context, epoch uint64) {
	for pause := hintPause; ; pause = min(2*pause, hintPauseMost) {
		answer := make(chan error, 1)
		h.gateways.Push(ctx, epoch, []*hop.Push{{Everything: true}}, func(_ []uint64, err error) { answer <- err })
		select {
		case err := <-answer:
			if err == nil || errors.Is(err, transfer.ErrEnded) {
				return
			}
		case <-time.After(hintTimeout):
		case <-ctx.Done():
			return
		}
		h.failed.Count()
		if operate.Pause(ctx, pause) != nil {
			return
		}
	}
}
