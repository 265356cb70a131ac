package pipeline

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/primitive"

	"gannet/benchmark/yardstick/pipeline/kitex_gen/hop"
	"gannet/benchmark/yardstick/pipeline/kitex_gen/hop/pipe"
)

// pullRecords is how many records one pull asks for.
const pullRecords = 32

// outletBytes is how much may wait for a gateway before pulls wait too.
const outletBytes = 1 << 20

// outlet is what goes to one gateway: one push under way for all queues.
type outlet struct {
	gateway pipe.Client
	mu      sync.Mutex
	changed *sync.Cond
	batch   *hop.Batch
}

func (o *outlet) run() error {
	for {
		o.mu.Lock()
		for len(o.batch.Ends) == 0 {
			o.changed.Wait()
		}
		b := o.batch
		o.batch = hop.NewBatch()
		o.mu.Unlock()
		o.changed.Broadcast()
		if _, err := o.gateway.Pass(context.Background(), b); err != nil {
			return fmt.Errorf("benchmark: push: %w", err)
		}
	}
}

func (p *Process) transfer(ctx context.Context) error {
	r, err := p.open(ctx, true)
	if err != nil {
		return err
	}
	failed := make(chan error, 1+p.Queues+len(p.Peers))
	var outlets []*outlet
	for _, address := range p.Peers {
		g, err := peer(address)
		if err != nil {
			return err
		}
		o := &outlet{gateway: g, batch: hop.NewBatch()}
		o.changed = sync.NewCond(&o.mu)
		outlets = append(outlets, o)
		go func() { failed <- o.run() }()
	}
	for q := range p.Queues {
		go func() { failed <- follow(ctx, r, q, outlets) }()
	}
	return p.wait(ctx, "", failed)
}

// follow reads a queue from its begin. Nobody says which gateway a user has: it is the
// one whose turn it was, as the load takes them.
func follow(ctx context.Context, r *records, q int, outlets []*outlet) error {
	for next := int64(0); ; {
		got, err := r.consumer.PullFrom(ctx, r.queue(q), next, pullRecords)
		if err != nil || got.Status != primitive.PullFound {
			if ctx.Err() != nil {
				return nil
			}
			time.Sleep(2 * time.Millisecond) // a queue that has nothing yet answers at once
			continue
		}
		parts := make([]hop.Batch, len(outlets))
		for _, m := range got.GetMessageExts() {
			if m.QueueOffset != next {
				return fmt.Errorf("benchmark: queue %d: offset %d where %d was due", q, m.QueueOffset, next)
			}
			next++
			for b := m.Body[recordHead:]; len(b) > 12; {
				to, end := binary.BigEndian.Uint64(b), 12+int(binary.BigEndian.Uint32(b[8:]))
				add(&parts[(to-1)%uint64(len(outlets))], to, b[12:end])
				b = b[end:]
			}
		}
		for i := range parts {
			outlets[i].take(&parts[i])
		}
	}
}

// take adds a batch to what goes to the gateway, once there is room.
func (o *outlet) take(b *hop.Batch) {
	if len(b.Ends) == 0 {
		return
	}
	o.mu.Lock()
	for len(o.batch.Frames) > outletBytes {
		o.changed.Wait()
	}
	_ = each(b, func(user uint64, frame []byte) error { add(o.batch, user, frame); return nil }) // add does not fail
	o.mu.Unlock()
	o.changed.Broadcast()
}
