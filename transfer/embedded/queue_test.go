package embedded

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"gannet/internal/hop"
	"gannet/transfer"
	"gannet/transfer/conformance"
)

func TestQueue(t *testing.T) {
	conformance.Queue(t, func(t *testing.T) (transfer.Queue, conformance.Put) {
		q := NewQueue(2)
		t.Cleanup(q.Close)
		return q, func(r *hop.Record) {
			lent := *r
			lent.Entries = append([]hop.RecordEntry(nil), r.Entries...)
			q.Put(t.Context(), &lent)
			clear(lent.Entries) // the caller's again
			lent = hop.Record{}
		}
	})
}

// A queue that nobody follows takes so much and no more, and takes again once there
// is room.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(2)
		big := func(queue int) *hop.Record { return &hop.Record{Queue: queue, Blob: make([]byte, queueBytes/4)} }
		for range 4 {
			q.Put(t.Context(), big(0))
		}
		var put atomic.Bool
		go func() {
			q.Put(t.Context(), big(0))
			put.Store(true)
		}()
		q.Put(t.Context(), big(1)) // the other queue has its own room
		synctest.Wait()
		if put.Load() {
			t.Fatal("a full queue took a record")
		}
		ctx, cancel := context.WithCancel(t.Context())
		var taken atomic.Int32
		followed := make(chan error)
		go func() {
			followed <- q.Follow(ctx, 0, func(_ context.Context, _ *hop.Record, done func()) {
				taken.Add(1)
				done()
			})
		}()
		synctest.Wait()
		if !put.Load() || taken.Load() != 5 {
			t.Errorf("%d records came; the last was put: %v", taken.Load(), put.Load())
		}
		cancel()
		if err := <-followed; err != context.Canceled {
			t.Error(err)
		}
		if held := len(q.queues[0].undone) + len(q.queues[0].kept) + q.queues[0].bytes; held != 0 {
			t.Errorf("%d records or bytes are held of what is done", held)
		}
	})
}

// One record may be larger than the bound.
func TestRecordLargerThanTheQueue(t *testing.T) {
	q := NewQueue(1)
	q.Put(t.Context(), &hop.Record{Blob: make([]byte, queueBytes+1)})
	if n := len(q.queues[0].kept); n != 1 {
		t.Errorf("%d records are kept", n)
	}
}

func TestClosedQueueHoldsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(1)
		record := &hop.Record{Blob: make([]byte, queueBytes)}
		q.Put(t.Context(), record)
		done := make(chan struct{})
		go func() {
			q.Put(t.Context(), record)
			close(done)
		}()
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("a full queue took a record")
		default:
		}
		q.Close()
		<-done
		q.Put(t.Context(), record)
		if n := len(q.queues[0].kept); n != 1 {
			t.Errorf("%d records are kept", n)
		}
	})
}

// A record goes to the follower on the goroutine of whoever puts it, with its
// context: so a batch's pushes and answers go out together.
func TestPutHandsOverItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type batch struct{}
		q := NewQueue(1)
		ctx, cancel := context.WithCancel(t.Context())
		followed := make(chan error)
		var seen []any
		go func() {
			followed <- q.Follow(ctx, 0, func(ctx context.Context, _ *hop.Record, done func()) {
				seen = append(seen, ctx.Value(batch{}))
				done()
			})
		}()
		synctest.Wait()
		q.Put(context.WithValue(t.Context(), batch{}, 1), &hop.Record{})
		if len(seen) != 1 || seen[0] != 1 {
			t.Errorf("when Put returned, take had been called with %v", seen)
		}
		cancel()
		<-followed
	})
}
