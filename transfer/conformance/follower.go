package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"gannet/internal/hop"
	"gannet/protocol"
	"gannet/transfer"
)

// patience bounds every wait.
const patience = 20 * time.Second

// follower remembers the records that it has taken, by their numbers.
type follower struct {
	t       *testing.T
	queue   int
	cancel  context.CancelFunc
	ended   chan struct{}
	changed chan struct{}

	mu    sync.Mutex
	busy  bool
	now   int // the record that take has, or had last; -1: none
	taken []int
	blobs [][]byte
	mark  uint64
	wrong error
}

// doneAtOnce is what most followers do with a record.
func doneAtOnce(_ int, done func()) { done() }

// follow follows a queue until the end of the test or of the follower; do, where it
// is not nil, is called with the number of each record.
func follow(t *testing.T, q transfer.Queue, queue int, do func(n int, done func())) *follower {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{t: t, queue: queue, cancel: cancel, ended: make(chan struct{}), changed: make(chan struct{}, 1), now: -1}
	go func() {
		defer close(f.ended)
		err := q.Follow(ctx, queue, func(within context.Context, r *hop.Record, done func()) {
			n := f.begin(r)
			if within == nil || within.Err() != nil && ctx.Err() == nil {
				f.fault(errors.New("take was called with a context that has ended"))
			}
			if do != nil && n >= 0 {
				do(n, done)
			}
			f.finish(n, r)
		})
		switch {
		case err == nil:
			f.fault(errNoError)
		case !errors.Is(err, ctx.Err()):
			f.fault(fmt.Errorf("it ended with %w", err))
		}
	}()
	t.Cleanup(f.end)
	return f
}

// begin checks a record, and gives its number, -1 for one that is none.
func (f *follower) begin(r *hop.Record) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.busy {
		f.wrong = cmp.Or(f.wrong, errors.New("take was called while it was at work"))
	}
	f.busy = true
	n := int(r.Time) - 1_700_000_000_000
	if n < 0 || n > 1<<20 || !same(r, record(f.queue, n)) {
		f.wrong = cmp.Or(f.wrong, fmt.Errorf("a record came that nobody put: %+v", *r))
		return -1
	}
	if r.Mark <= f.mark {
		f.wrong = cmp.Or(f.wrong, fmt.Errorf("record %d has mark %d after %d", n, r.Mark, f.mark))
	}
	f.mark, f.now = r.Mark, n
	f.signal()
	return n
}

// same compares what records say; marks are the adapter's, and so is where frames
// lie.
func same(a, b *hop.Record) bool {
	if a.Queue != b.Queue || a.Time != b.Time || len(a.Entries) != len(b.Entries) {
		return false
	}
	for i := range a.Entries {
		x, y := a.Entries[i], b.Entries[i]
		x.Frame, y.Frame = hop.Span{}, hop.Span{}
		if x != y || string(a.Bytes(i)) != string(b.Bytes(i)) {
			return false
		}
	}
	_, n, err := protocol.Split(a.Bytes(0), protocol.MaxFrame)
	return err == nil && n == len(a.Bytes(0))
}

func (f *follower) finish(n int, r *hop.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy = false
	f.taken = append(f.taken, n)
	f.blobs = append(f.blobs, r.Bytes(0))
	f.signal()
}

func (f *follower) fault(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wrong = cmp.Or(f.wrong, err)
	f.signal()
}

func (f *follower) signal() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// end ends the follower and reports what was wrong.
func (f *follower) end() {
	f.cancel()
	select {
	case <-f.ended:
	case <-time.After(patience):
		f.t.Fatal("Follow does not end")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.wrong != nil {
		f.t.Error(f.wrong)
		f.wrong = nil
	}
}

// until waits until ok says so; it is called under mu.
func (f *follower) until(what string, ok func() bool) {
	f.t.Helper()
	deadline := time.After(patience)
	for {
		f.mu.Lock()
		reached, wrong, taken := ok(), f.wrong, slices.Clone(f.taken)
		f.mu.Unlock()
		switch {
		case reached:
			return
		case wrong != nil:
			f.t.Fatal(wrong)
		}
		select {
		case <-f.changed:
		case <-deadline:
			f.t.Fatalf("waited for %s; took %v", what, taken)
		}
	}
}

// saw waits until the follower has taken exactly the records from first to before
// end, in order.
func (f *follower) saw(first, end int) {
	f.t.Helper()
	f.sawFrom(first, end, -1)
}

// sawFrom is saw, but one record may be missing: it was done before.
func (f *follower) sawFrom(first, end, except int) {
	f.t.Helper()
	f.until(fmt.Sprintf("record %d", end-1), func() bool { return len(f.taken) > 0 && f.taken[len(f.taken)-1] >= end-1 })
	var want []int
	for n := first; n < end; n++ {
		want = append(want, n)
	}
	without := slices.DeleteFunc(slices.Clone(want), func(n int) bool { return n == except })
	if got := f.numbers(); !slices.Equal(got, want) && !slices.Equal(got, without) {
		f.t.Fatalf("took %v, want %v", got, want)
	}
}

// reached waits until a record at or behind number n was taken, and gives the last.
func (f *follower) reached(n int) (last int) {
	f.t.Helper()
	f.until(fmt.Sprintf("record %d", n), func() bool { return len(f.taken) > 0 && f.taken[len(f.taken)-1] >= n })
	numbers := f.numbers()
	return numbers[len(numbers)-1]
}

// begun waits until take has a record.
func (f *follower) begun(n int) {
	f.until(fmt.Sprintf("take to begin with record %d", n), func() bool { return f.now >= n })
}

func (f *follower) numbers() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.taken)
}

func (f *follower) count() int { return len(f.numbers()) }

func (f *follower) first() int { return f.numbers()[0] }

// elsewhere runs do on another goroutine, and waits for it.
func (f *follower) elsewhere(do func()) {
	f.t.Helper()
	over := make(chan struct{})
	go func() {
		defer close(over)
		do()
	}()
	select {
	case <-over:
	case <-time.After(patience):
		f.t.Fatal("what another goroutine does takes too long")
	}
}
