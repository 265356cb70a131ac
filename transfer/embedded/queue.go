// Package embedded has the queue of one process. It dies with the connections that
// it serves, and a device that comes back syncs, so it is not written down.
package embedded

import (
	"context"
	"slices"
	"sync"

	"gannet/internal/hop"
)

// queueBytes bounds what a queue keeps while nobody follows it. Then Put waits, the
// log with it, and gateways say busy.
const queueBytes = 64 << 20

// Queue is transfer's Queue in memory. A record goes to the follower on the
// goroutine of whoever puts it: between two parts of one process a queue that
// has to be waited for would only cost time.
type Queue struct {
	queues []*queue
}

type queue struct {
	taking sync.Mutex // held during a take, so records come one at a time and in order

	mu     sync.Mutex
	room   sync.Cond // records were taken, or the queue was closed
	take   func(ctx context.Context, record *hop.Record, done func())
	kept   []*hop.Record // that came while nobody followed
	bytes  int           // of kept
	undone []*handed     // taken, and not done when take returned: for the next follower
	closed bool
}

// handed is a record that a follower has. Its fields are the queue's, under mu.
type handed struct {
	queue  *queue
	record *hop.Record // the queue's own; nil while take has it
	over   bool
}

// done is what a follower calls for a record.
func (h *handed) done() {
	x := h.queue
	x.mu.Lock()
	defer x.mu.Unlock()
	h.over = true
	if i := slices.Index(x.undone, h); i >= 0 {
		x.undone = slices.Delete(x.undone, i, i+1)
	}
}

// hand gives the follower a record, which is the queue's own or only lent until
// hand returns.
func (x *queue) hand(ctx context.Context, take func(ctx context.Context, record *hop.Record, done func()), record *hop.Record, own bool) {
	h := &handed{queue: x}
	take(ctx, record, h.done)
	x.mu.Lock()
	defer x.mu.Unlock()
	if h.over {
		return
	}
	if !own {
		record = copyOf(record)
	}
	h.record = record
	x.undone = append(x.undone, h)
}

func copyOf(record *hop.Record) *hop.Record {
	own := *record
	own.Entries = slices.Clone(record.Entries)
	return &own
}

// NewQueue makes a Queue with this many queues.
func NewQueue(queues int) *Queue {
	q := &Queue{}
	for range queues {
		x := &queue{}
		x.room.L = &x.mu
		q.queues = append(q.queues, x)
	}
	return q
}

// Put hands a record onward, to the follower if there is one. The record is the
// caller's again when Put returns, but for its blob. It waits while the queue is
// full, and does nothing once it is closed. Records of a queue must be put one after
// the other.
func (q *Queue) Put(ctx context.Context, record *hop.Record) {
	x := q.queues[record.Queue]
	x.mu.Lock()
	for !x.closed && x.take == nil && x.bytes > 0 && x.bytes+len(record.Blob) > queueBytes {
		x.room.Wait()
	}
	if x.closed {
		x.mu.Unlock()
		return
	}
	if x.take == nil {
		x.kept = append(x.kept, copyOf(record))
		x.bytes += len(record.Blob)
		x.mu.Unlock()
		return
	}
	x.taking.Lock() // before mu is released, so that Follow cannot end in between
	take := x.take
	x.mu.Unlock()
	defer x.taking.Unlock()
	x.hand(ctx, take, record, false)
}

// Follow is transfer.Queue's.
func (q *Queue) Follow(ctx context.Context, queue int, take func(ctx context.Context, record *hop.Record, done func())) error {
	x := q.queues[queue]
	x.catchUp(ctx, take)
	<-ctx.Done()
	x.mu.Lock()
	x.take = nil
	x.mu.Unlock()
	x.taking.Lock() // until the last take has returned
	defer x.taking.Unlock()
	return ctx.Err()
}

// catchUp takes what the follower before was not done with and what was kept, and
// then has Put hand records over.
func (x *queue) catchUp(ctx context.Context, take func(ctx context.Context, record *hop.Record, done func())) {
	x.taking.Lock()
	defer x.taking.Unlock()
	x.mu.Lock()
	again := make([]*hop.Record, 0, len(x.undone)+len(x.kept))
	for _, h := range x.undone {
		again = append(again, h.record)
		x.bytes += len(h.record.Blob)
	}
	x.kept, x.undone = append(again, x.kept...), nil
	x.mu.Unlock()
	for ctx.Err() == nil {
		x.mu.Lock()
		if len(x.kept) == 0 {
			x.take = take
			x.room.Broadcast()
			x.mu.Unlock()
			return
		}
		record := x.kept[0]
		x.kept[0] = nil
		x.kept = x.kept[1:]
		x.bytes -= len(record.Blob)
		x.room.Broadcast()
		x.mu.Unlock()
		x.hand(ctx, take, record, true)
	}
}

// Close ends every Put.
func (q *Queue) Close() {
	for _, x := range q.queues {
		x.mu.Lock()
		x.closed = true
		x.room.Broadcast()
		x.mu.Unlock()
	}
}
