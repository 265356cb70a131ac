package embedded

import (
	"context"
	"testing"
	"time"

	"gannet/transfer"
	"gannet/transfer/conformance"
)

func TestQueue(t *testing.T) {
	conformance.Queue(t, func(t *testing.T) (transfer.Queue, conformance.Put) {
		q := NewQueue(2)
		t.Cleanup(q.Close)
		return q, q.Put
	})
}

func TestDirectory(t *testing.T) {
	conformance.Devices(t, func(*testing.T) conformance.Directory { return NewDirectory() })
}

// A lane that nobody follows takes so much and no more, and takes again once
// there is room.
func TestQueueIsBounded(t *testing.T) {
	q := NewQueue(2)
	record := make([]byte, queueBytes/4)
	for range 4 {
		q.Put(0, record)
	}
	put := make(chan struct{})
	go func() {
		q.Put(0, record)
		close(put)
	}()
	q.Put(1, record) // the other lane has its own room
	select {
	case <-put:
		t.Fatal("a full lane took a record")
	case <-time.After(10 * time.Millisecond): // it would not wait for longer
	}
	ctx, cancel := context.WithCancel(t.Context())
	taken := make(chan int, 10)
	followed := make(chan error)
	go func() {
		followed <- q.Follow(ctx, 0, func(records [][]byte) error {
			taken <- len(records)
			return nil
		})
	}()
	<-put
	if first, second := <-taken, <-taken; first != 4 || second != 1 {
		t.Errorf("%d and %d records came", first, second)
	}
	cancel()
	<-followed
}

func TestClosedQueueHoldsNobody(t *testing.T) {
	q := NewQueue(1)
	record := make([]byte, queueBytes)
	q.Put(0, record)
	done := make(chan struct{})
	go func() {
		q.Put(0, record)
		close(done)
	}()
	q.Close()
	<-done
}
