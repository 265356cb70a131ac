// Package conformance holds adapters to the guarantees of transfer's ports. An
// adapter's tests call each function with a way to make a fresh one.
package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
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
		a, b := follow(t, q, 0, nil), follow(t, q, 1, nil)
		for i := range 100 {
			put(i%2, record(i%2, i/2))
		}
		a.saw(records(0, 0, 50)...)
		b.saw(records(1, 0, 50)...)
	})
	t.Run("what came before the follower waits for it", func(t *testing.T) {
		q, put := open(t)
		for i := range 10 {
			put(0, record(0, i))
		}
		f := follow(t, q, 0, nil)
		f.saw(records(0, 0, 10)...)
		put(0, record(0, 10))
		f.saw(records(0, 0, 11)...)
	})
	t.Run("Follow ends with its context", func(t *testing.T) {
		q, put := open(t)
		f := follow(t, q, 0, nil)
		put(0, record(0, 0))
		f.saw(records(0, 0, 1)...)
		f.end()
		put(0, record(0, 1))
		f.saw(records(0, 0, 1)...)
	})
	t.Run("a follower that takes over begins where the other ended", func(t *testing.T) {
		q, put := open(t)
		for i := range 5 {
			put(0, record(0, i))
		}
		first := follow(t, q, 0, nil)
		first.saw(records(0, 0, 5)...)
		first.end()
		for i := 5; i < 10; i++ {
			put(0, record(0, i))
		}
		follow(t, q, 0, nil).saw(records(0, 5, 10)...)
	})
	t.Run("what could not be pushed comes again, first", func(t *testing.T) {
		q, put := open(t)
		failures := 3
		f := follow(t, q, 0, func() error {
			if failures > 0 {
				failures--
				return errors.New("nobody there")
			}
			return nil
		})
		for i := range 20 {
			put(0, record(0, i))
		}
		f.saw(records(0, 0, 20)...)
		put(0, record(0, 20))
		f.saw(records(0, 0, 21)...)
	})
	t.Run("what the follower could not push is left to the next", func(t *testing.T) {
		q, put := open(t)
		tried := make(chan struct{}, 100)
		f := follow(t, q, 0, func() error {
			tried <- struct{}{}
			return errors.New("nobody there")
		})
		put(0, record(0, 0))
		select {
		case <-tried:
		case <-time.After(patience):
			t.Fatal("no push was tried")
		}
		f.end()
		put(0, record(0, 1))
		follow(t, q, 0, nil).saw(records(0, 0, 2)...)
	})
	t.Run("a writer and a follower at once", func(t *testing.T) {
		q, put := open(t)
		const n = 5000
		go func() {
			for i := range n {
				put(1, record(1, i))
			}
		}()
		follow(t, q, 1, nil).saw(records(1, 0, n)...)
	})
}

func record(lane, n int) []byte { return fmt.Appendf(nil, "lane %d record %d", lane, n) }

func records(lane, first, end int) (list []string) {
	for n := first; n < end; n++ {
		list = append(list, string(record(lane, n)))
	}
	return list
}

// follower remembers the records that it has taken.
type follower struct {
	t       *testing.T
	cancel  context.CancelFunc
	ended   chan struct{}
	changed chan struct{}

	mu    sync.Mutex
	taken []string
}

// follow follows a lane until the end of the test or of the follower; fail, when
// it is not nil, says whether a push shall fail.
func follow(t *testing.T, q transfer.Queue, lane int, fail func() error) *follower {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{t: t, cancel: cancel, ended: make(chan struct{}), changed: make(chan struct{}, 1)}
	go func() {
		defer close(f.ended)
		err := q.Follow(ctx, lane, func(records [][]byte) error {
			if fail != nil {
				if err := fail(); err != nil {
					return err
				}
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, r := range records {
				f.taken = append(f.taken, string(r))
			}
			select {
			case f.changed <- struct{}{}:
			default:
			}
			return nil
		})
		if err == nil {
			t.Error("Follow ended without an error")
		}
	}()
	t.Cleanup(f.end)
	return f
}

func (f *follower) end() {
	f.cancel()
	select {
	case <-f.ended:
	case <-time.After(patience):
		f.t.Fatal("Follow does not end")
	}
}

// saw waits until the follower has taken exactly these records.
func (f *follower) saw(want ...string) {
	f.t.Helper()
	deadline := time.After(patience)
	for {
		f.mu.Lock()
		got := slices.Clone(f.taken)
		f.mu.Unlock()
		if slices.Equal(got, want) {
			return
		}
		if len(got) > len(want) || !slices.Equal(got, want[:len(got)]) {
			f.t.Fatalf("took %q, want %q", got, want)
		}
		select {
		case <-f.changed:
		case <-deadline:
			f.t.Fatalf("took only %q, want %q", got, want)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
