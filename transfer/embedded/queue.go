// Package embedded has the adapters of transfer's ports for one process: the
// queue and the directory in memory. Both die with the connections that they
// serve, and a device that comes back syncs, so neither is written down.
package embedded

import (
	"context"
	"errors"
	"sync"
)

// queueBytes bounds what may wait for transfer in one lane. Transfer never
// waits for a connection, so this much is there only when the process is short
// of processor time; then Put waits, its lane with it, and gateways say busy.
const queueBytes = 64 << 20

// ErrClosed is what Next returns once the queue is closed.
var ErrClosed = errors.New("embedded: the queue is closed")

// Queue is transfer's Queue in memory.
type Queue struct {
	lanes []*queueLane
}

type queueLane struct {
	mu       sync.Mutex
	changed  sync.Cond // a record came, room came, or the queue was closed
	records  [][]byte  // since the last commit
	returned int       // how many of them Next has returned
	bytes    int
	closed   bool
}

// NewQueue makes a queue with this many lanes.
func NewQueue(lanes int) *Queue {
	q := &Queue{}
	for range lanes {
		l := &queueLane{}
		l.changed.L = &l.mu
		q.lanes = append(q.lanes, l)
	}
	return q
}

// Put adds a record of the lane, which is the queue's from then on. It waits
// while the lane is full, and does nothing once the queue is closed.
func (q *Queue) Put(lane int, record []byte) {
	l := q.lanes[lane]
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.closed && l.bytes > 0 && l.bytes+len(record) > queueBytes {
		l.changed.Wait()
	}
	if l.closed {
		return
	}
	l.records = append(l.records, record)
	l.bytes += len(record)
	l.changed.Broadcast()
}

// Next is transfer.Queue's.
func (q *Queue) Next(ctx context.Context, lane int, dst [][]byte) ([][]byte, error) {
	l := q.lanes[lane]
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.returned == len(l.records) && !l.closed {
		// Only a Next that waits has to hear of the context's end.
		stop := context.AfterFunc(ctx, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.changed.Broadcast()
		})
		defer stop()
		for l.returned == len(l.records) && !l.closed && ctx.Err() == nil {
			l.changed.Wait()
		}
	}
	if err := ctx.Err(); err != nil {
		return dst, err
	}
	if l.closed {
		return dst, ErrClosed
	}
	dst = append(dst, l.records[l.returned:]...)
	l.returned = len(l.records)
	return dst, nil
}

// Commit is transfer.Queue's.
func (q *Queue) Commit(_ context.Context, lane int) error {
	l := q.lanes[lane]
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, r := range l.records[:l.returned] {
		l.bytes -= len(r)
		l.records[i] = nil
	}
	kept := copy(l.records, l.records[l.returned:])
	clear(l.records[kept:])
	l.records, l.returned = l.records[:kept], 0
	l.changed.Broadcast()
	return nil
}

// Rewind is transfer.Queue's.
func (q *Queue) Rewind(_ context.Context, lane int) error {
	l := q.lanes[lane]
	l.mu.Lock()
	defer l.mu.Unlock()
	l.returned = 0
	return nil
}

// Close ends every Next and Put.
func (q *Queue) Close() {
	for _, l := range q.lanes {
		l.mu.Lock()
		l.closed = true
		l.changed.Broadcast()
		l.mu.Unlock()
	}
}
