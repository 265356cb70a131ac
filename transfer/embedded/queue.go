// Package embedded has the adapters of transfer's ports for one process: the
// queue and the directory in memory. Both die with the connections that they
// serve, and a device that comes back syncs, so neither is written down.
package embedded

import (
	"context"
	"sync"
	"time"
)

const (
	// queueBytes bounds what a lane keeps while nobody follows it or pushing
	// fails. Then Put waits, its lane with it, and gateways say busy.
	queueBytes = 64 << 20

	// retryPause is how long a record whose push failed waits for the next try.
	retryPause = 100 * time.Millisecond
)

// Queue is transfer's Queue in memory. A record goes to the follower on the
// goroutine of whoever puts it: between two parts of one process a queue that
// has to be waited for would only cost time.
type Queue struct {
	lanes []*queueLane
}

type queueLane struct {
	failed chan struct{} // holds one token while failing

	mu      sync.Mutex // held during a push, so pushes come one at a time and in order
	room    sync.Cond  // records are done with, or the queue was closed
	push    func(records [][]byte) error
	failing bool     // a push failed: Follow repeats it, Put only adds to it
	records [][]byte // not done with
	bytes   int
	closed  bool
}

// NewQueue makes a queue with this many lanes.
func NewQueue(lanes int) *Queue {
	q := &Queue{}
	for range lanes {
		l := &queueLane{failed: make(chan struct{}, 1)}
		l.room.L = &l.mu
		q.lanes = append(q.lanes, l)
	}
	return q
}

// Put gives the lane a record, which is the queue's from then on, and pushes it
// if the lane is followed. It waits while the lane is full, and does nothing
// once the queue is closed. Records of a lane must be put one after the other.
func (q *Queue) Put(lane int, record []byte) {
	l := q.lanes[lane]
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.closed && l.bytes > 0 && l.bytes+len(record) > queueBytes {
		l.room.Wait()
	}
	if l.closed {
		return
	}
	l.records = append(l.records, record)
	l.bytes += len(record)
	if l.push != nil && !l.failing {
		l.deliver()
	}
}

// deliver pushes everything that is not done with; mu is held.
func (l *queueLane) deliver() {
	if len(l.records) == 0 {
		return
	}
	if err := l.push(l.records); err != nil {
		l.failing = true
		l.failed <- struct{}{} // there is room: failing was false or Follow has taken the token
		return
	}
	clear(l.records)
	l.records, l.bytes, l.failing = l.records[:0], 0, false
	l.room.Broadcast()
}

// Follow is transfer.Queue's.
func (q *Queue) Follow(ctx context.Context, lane int, push func(records [][]byte) error) error {
	l := q.lanes[lane]
	l.mu.Lock()
	l.push = push
	l.deliver()
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.push, l.failing = nil, false
		select {
		case <-l.failed:
		default:
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.failed:
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retryPause):
		}
		l.mu.Lock()
		l.deliver()
		l.mu.Unlock()
	}
}

// Close ends every Put.
func (q *Queue) Close() {
	for _, l := range q.lanes {
		l.mu.Lock()
		l.closed = true
		l.room.Broadcast()
		l.mu.Unlock()
	}
}
