package embedded

import (
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
	if got, err := q.Next(t.Context(), 0, nil); err != nil || len(got) != 4 {
		t.Fatalf("%d records, %v", len(got), err)
	}
	select {
	case <-put:
		t.Fatal("a full lane took a record that nobody had committed the others for")
	default:
	}
	if err := q.Commit(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	select {
	case <-put:
	case <-time.After(20 * time.Second):
		t.Fatal("there is room, and Put still waits")
	}
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
	if _, err := q.Next(t.Context(), 0, nil); err != ErrClosed {
		t.Errorf("Next: %v", err)
	}
}
