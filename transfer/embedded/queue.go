// Package embedded has the queue of one process. It dies with the connections that
// it serves, and a device that comes back syncs, so it is not written down.
package embedded

import (
	"context"
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
	bytes  int
	closed bool
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
	if x.take == nil || len(x.kept) > 0 {
		kept := *record
		kept.Entries = append([]hop.RecordEntry(nil), record.Entries...)
		x.kept = append(x.kept, &kept)
		x.bytes += len(kept.Blob)
		x.mu.Unlock()
		return
	}
	x.taking.Lock() // before mu is released, so that Follow cannot end in between
	take := x.take
	x.mu.Unlock()
	defer x.taking.Unlock()
	take(ctx, record, done)
}

// done is what a follower calls for each record. What it has taken nobody needs any
// more: after a crash every device syncs.
func done() {}

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

// catchUp takes what was kept, and then has Put hand records over.
func (x *queue) catchUp(ctx context.Context, take func(ctx context.Context, record *hop.Record, done func())) {
	x.taking.Lock()
	defer x.taking.Unlock()
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
		take(ctx, record, done)
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
