// Package conformance holds adapters to the guarantees of transfer's ports. An
// adapter's tests call each function with a way to make a fresh one.
package conformance

import (
	"context"
	"fmt"
	"testing"
	"time"

	"gannet/transfer"
)

// patience bounds every wait.
const patience = 20 * time.Second

// Put adds a record of a lane to the queue under test, as the log does once it is
// durable.
type Put func(lane int, record []byte)

// Queue tests a transfer.Queue of at least two lanes.
func Queue(t *testing.T, open func(t *testing.T) (transfer.Queue, Put)) {
	t.Run("records come in order, each lane by itself", func(t *testing.T) {
		q, put := open(t)
		for i := range 100 {
			put(i%2, record(i%2, i/2))
		}
		for lane := range 2 {
			expect(t, q, lane, 0, 50)
		}
	})
	t.Run("Next waits for a record", func(t *testing.T) {
		q, put := open(t)
		waiting := make(chan struct{})
		go func() {
			<-waiting
			put(0, record(0, 0))
		}()
		close(waiting)
		expect(t, q, 0, 0, 1)
	})
	t.Run("Next ends with its context", func(t *testing.T) {
		q, _ := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := q.Next(ctx, 0, nil)
			ended <- err
		}()
		cancel()
		select {
		case err := <-ended:
			if err == nil {
				t.Error("Next gave nothing and no error")
			}
		case <-time.After(patience):
			t.Fatal("Next does not end")
		}
	})
	t.Run("what was committed does not come again, the rest does", func(t *testing.T) {
		q, put := open(t)
		for i := range 10 {
			put(0, record(0, i))
		}
		expect(t, q, 0, 0, 10)
		must(t, q.Commit(t.Context(), 0))
		for i := 10; i < 20; i++ {
			put(0, record(0, i))
		}
		expect(t, q, 0, 10, 20)
		must(t, q.Rewind(t.Context(), 0))
		put(0, record(0, 20))
		expect(t, q, 0, 10, 21)
		must(t, q.Commit(t.Context(), 0))
		must(t, q.Rewind(t.Context(), 0))
		put(0, record(0, 21))
		expect(t, q, 0, 21, 22)
	})
	t.Run("a commit leaves what came meanwhile", func(t *testing.T) {
		q, put := open(t)
		put(0, record(0, 0))
		expect(t, q, 0, 0, 1)
		put(0, record(0, 1))
		must(t, q.Commit(t.Context(), 0))
		expect(t, q, 0, 1, 2)
	})
	t.Run("a writer and a follower at once", func(t *testing.T) {
		q, put := open(t)
		const records = 5000
		go func() {
			for i := range records {
				put(1, record(1, i))
			}
		}()
		for next := 0; next < records; {
			next += len(take(t, q, 1, next))
			must(t, q.Commit(t.Context(), 1))
		}
	})
}

func record(lane, n int) []byte { return fmt.Appendf(nil, "lane %d record %d", lane, n) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// take gets what there is and checks that it goes on with the record first.
func take(t *testing.T, q transfer.Queue, lane, first int) [][]byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	kept := []byte("kept")
	got, err := q.Next(ctx, lane, [][]byte{kept})
	must(t, err)
	if len(got) < 2 || string(got[0]) != "kept" {
		t.Fatalf("Next gave %q: it must append at least one record", got)
	}
	for i, r := range got[1:] {
		if want := record(lane, first+i); string(r) != string(want) {
			t.Fatalf("got %q, want %q", r, want)
		}
	}
	return got[1:]
}

// expect takes the records first to end-1, in however many steps.
func expect(t *testing.T, q transfer.Queue, lane, first, end int) {
	t.Helper()
	for first < end {
		first += len(take(t, q, lane, first))
	}
	if first != end {
		t.Fatalf("got records up to %d, want %d", first-1, end-1)
	}
}
