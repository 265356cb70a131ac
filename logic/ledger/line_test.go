package ledger_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"gannet/logic"
	"gannet/logic/ledger"
)

// writes is what a line was asked to write, one call at a time.
type writes struct {
	line  ledger.Line
	gate  chan struct{} // each write waits for it
	mu    sync.Mutex
	under int
	calls [][]int // queues of the batches, which number them
}

func (w *writes) write(batches []*logic.Batch) {
	w.mu.Lock()
	w.under++
	if w.under > 1 {
		w.mu.Unlock()
		panic("two writes at once")
	}
	w.mu.Unlock()
	<-w.gate
	w.mu.Lock()
	defer w.mu.Unlock()
	w.under--
	var numbers []int
	for _, b := range batches {
		numbers = append(numbers, b.Queue)
		b.Err = errWritten
	}
	w.calls = append(w.calls, numbers)
}

var errWritten = errors.New("written")

// call has a batch written and checks that it was when Do returns.
func (w *writes) call(t *testing.T, ctx context.Context, number int) error {
	b := &logic.Batch{Queue: number}
	err := w.line.Do(ctx, b, w.write)
	w.mu.Lock()
	defer w.mu.Unlock()
	if written := b.Err == errWritten; written != (err == nil) {
		t.Errorf("Do of batch %d gives %v; it is written: %v", number, err, written)
	}
	return err
}

func (w *writes) want(t *testing.T, calls ...[]int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.EqualFunc(w.calls, calls, slices.Equal) {
		t.Fatalf("writes of %v, want %v", w.calls, calls)
	}
}

func TestBatchesGatherWhileOneIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writes{gate: make(chan struct{})}
		var callers sync.WaitGroup
		for i := range 6 {
			callers.Go(func() {
				if err := w.call(t, t.Context(), i); err != nil {
					t.Errorf("batch %d: %v", i, err)
				}
			})
			synctest.Wait() // it waits, behind those before it
		}
		w.want(t)
		w.gate <- struct{}{}
		synctest.Wait()
		w.want(t, []int{0})
		callers.Go(func() { _ = w.call(t, t.Context(), 6) }) // while the second write is under way
		synctest.Wait()
		w.gate <- struct{}{}
		synctest.Wait()
		w.want(t, []int{0}, []int{1, 2, 3, 4, 5})
		w.gate <- struct{}{}
		callers.Wait()
		w.want(t, []int{0}, []int{1, 2, 3, 4, 5}, []int{6})
		close(w.gate)
		if err := w.call(t, t.Context(), 7); err != nil {
			t.Fatalf("an idle line gives %v", err)
		}
	})
}

// TestWhatDoesNotFitWaits has two batches written in one turn at most: those who wait for
// them go on then, and the others come in their order.
func TestWhatDoesNotFitWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writes{gate: make(chan struct{})}
		w.line.Fits = func(batches []*logic.Batch) int { return min(len(batches), 2) }
		var callers sync.WaitGroup
		var done [8]atomic.Bool
		call := func(i int) {
			callers.Go(func() {
				if err := w.call(t, t.Context(), i); err != nil {
					t.Errorf("batch %d: %v", i, err)
				}
				done[i].Store(true)
			})
			synctest.Wait()
		}
		for i := range 6 {
			call(i)
		}
		w.gate <- struct{}{}
		synctest.Wait()
		callers.Go(func() { _ = w.line.Do(t.Context(), nil, w.write) }) // needs no room
		synctest.Wait()
		call(6)
		w.gate <- struct{}{}
		synctest.Wait()
		w.want(t, []int{0}, []int{1, 2})
		for i := range done {
			if got := done[i].Load(); got != (i < 3) {
				t.Errorf("batch %d is done: %v", i, got)
			}
		}
		close(w.gate)
		callers.Wait()
		w.want(t, []int{0}, []int{1, 2}, []int{3, 4}, []int{5, 6})
	})
}

func TestCallerWithoutABatchTakesItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writes{gate: make(chan struct{})}
		var callers sync.WaitGroup
		callers.Go(func() { _ = w.call(t, t.Context(), 0) })
		synctest.Wait()
		turns := 0
		callers.Go(func() {
			_ = w.line.Do(t.Context(), nil, func(batches []*logic.Batch) { turns++; w.write(batches) })
		})
		synctest.Wait()
		callers.Go(func() { _ = w.call(t, t.Context(), 1) })
		synctest.Wait()
		close(w.gate)
		callers.Wait()
		w.want(t, []int{0}, []int{1})
		if turns != 1 {
			t.Fatalf("the caller without a batch had %d turns, want 1 and the other's batch with it", turns)
		}
	})
}

func TestCancelledCallerLeavesTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writes{gate: make(chan struct{})}
		var callers sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		var got [4]error
		for i, ctx := range []context.Context{t.Context(), t.Context(), ctx, t.Context()} {
			callers.Go(func() { got[i] = w.call(t, ctx, i) })
			synctest.Wait()
		}
		cancel()
		synctest.Wait()
		close(w.gate)
		callers.Wait()
		w.want(t, []int{0}, []int{1, 3})
		for i, err := range got {
			if want := i == 2; errors.Is(err, context.Canceled) != want {
				t.Errorf("caller %d gets %v; it was cancelled: %v", i, err, want)
			}
		}
	})
}

// TestCancelledLeaderHandsItsTurnOn cancels the caller whose turn is next, and one
// whose batch is being written by another.
func TestCancelledLeaderHandsItsTurnOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writes{gate: make(chan struct{})}
		var callers sync.WaitGroup
		next, cancelNext := context.WithCancel(t.Context())
		last, cancelLast := context.WithCancel(t.Context())
		for i, ctx := range []context.Context{t.Context(), next, t.Context(), last} {
			callers.Go(func() {
				if err := w.call(t, ctx, i); (err != nil) != (i == 1) {
					t.Errorf("batch %d: %v", i, err)
				}
			})
			synctest.Wait()
		}
		cancelNext()
		synctest.Wait()
		w.gate <- struct{}{}
		synctest.Wait()
		cancelLast() // too late: it is under way
		synctest.Wait()
		close(w.gate)
		callers.Wait()
		w.want(t, []int{0}, []int{2, 3})
	})
}

func TestPanicOfAWriteLetsTheOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writes{gate: make(chan struct{})}
		var callers sync.WaitGroup
		callers.Go(func() { _ = w.call(t, t.Context(), 0) })
		synctest.Wait()
		var cause any
		callers.Go(func() {
			defer func() { cause = recover() }()
			_ = w.line.Do(t.Context(), nil, func([]*logic.Batch) { <-w.gate; panic("a bug") })
		})
		synctest.Wait()
		callers.Go(func() { _ = w.line.Do(t.Context(), &logic.Batch{Queue: 1}, w.write) }) // written with the one that panics
		synctest.Wait()
		w.gate <- struct{}{}
		synctest.Wait()
		callers.Go(func() { _ = w.call(t, t.Context(), 2) })
		synctest.Wait()
		close(w.gate)
		callers.Wait()
		if cause != "a bug" {
			t.Fatalf("the caller that wrote got %v, want its panic", cause)
		}
		w.want(t, []int{0}, []int{2})
	})
}

// TestLineUnderManyCallers has everybody's batch written once, one write at a time.
func TestLineUnderManyCallers(t *testing.T) {
	w := &writes{gate: make(chan struct{})}
	close(w.gate)
	const callers, each = 8, 200
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				_ = w.call(t, t.Context(), c*each+i)
			}
		})
	}
	wg.Wait()
	all := slices.Concat(w.calls...)
	last := map[int]int{}
	for _, number := range all {
		if before, some := last[number/each]; some && number != before+1 {
			t.Fatalf("caller %d: batch %d after %d", number/each, number, before)
		}
		last[number/each] = number
	}
	if len(all) != callers*each {
		t.Fatalf("%d batches are written, want %d", len(all), callers*each)
	}
}
