package history

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gannet/internal/chain"
)

// While one query is under way all who come wait for the next one, and one of them asks
// for all.
func TestLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l line[int]
		var asked [][]int
		under := make(chan struct{})
		ask := func(items []int) {
			asked = append(asked, slices.Sorted(slices.Values(items)))
			<-under
		}
		var wg sync.WaitGroup
		do := func(item int) {
			wg.Go(func() {
				if err := l.do(t.Context(), item, ask); err != nil {
					t.Error(err)
				}
			})
		}
		do(1)
		synctest.Wait()
		for i := 2; i <= 5; i++ {
			do(i)
		}
		gone, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			if err := l.do(gone, 99, ask); !errors.Is(err, context.Canceled) {
				t.Errorf("one who went away gets %v", err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		under <- struct{}{}
		synctest.Wait()
		do(6)
		synctest.Wait()
		under <- struct{}{}
		synctest.Wait()
		under <- struct{}{}
		wg.Wait()
		if want := [][]int{{1}, {2, 3, 4, 5}, {6}}; !slices.EqualFunc(asked, want, slices.Equal) {
			t.Errorf("the queries were %v, want %v", asked, want)
		}
	})
}

// One who panics leaves nobody waiting, and nobody takes what is not answered for an answer.
func TestLineAfterAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l line[int]
		func() {
			defer func() { _ = recover() }()
			_ = l.do(t.Context(), 1, func([]int) { panic("a fault") })
		}()
		var wg sync.WaitGroup
		under := make(chan struct{})
		wg.Go(func() { _ = l.do(t.Context(), 1, func([]int) { <-under }) })
		synctest.Wait()
		for item := range 3 {
			wg.Go(func() {
				defer func() { _ = recover() }()
				if err := l.do(t.Context(), item, func(items []int) { panic("a fault") }); !errors.Is(err, errBroken) {
					t.Errorf("who waited for one who panicked gets %v", err)
				}
			})
		}
		synctest.Wait()
		close(under)
		wg.Wait()
		asked := 0
		if err := l.do(t.Context(), 2, func(items []int) { asked = items[0] }); err != nil || asked != 2 {
			t.Errorf("asked for %d, %v", asked, err)
		}
	})
}

// A mark is certain when the server has had it for as long as the margin, and no sooner.
func TestMarksBecomeCertain(t *testing.T) {
	const margin = time.Minute
	now := time.Unix(1_800_000_000, 0)
	at := func(offset int64) chain.Mark { return chain.Mark{Offset: offset} }
	m := &marked{mark: at(40), safe: at(10), run: 1000}
	if got := m.under(1000 + jitter); got != at(40) {
		t.Errorf("in the same run the mark is %v", got)
	}
	for _, r := range []run{1000 + jitter + 1, 1000 - jitter - 1} {
		if got := m.under(r); got != at(10) {
			t.Errorf("in the run %d the mark is %v", r, got)
		}
	}

	q := fedUnder(1000, m, now)
	if q.taken != at(40) || q.inserted != at(40) {
		t.Errorf("a queue begins at %v, %v", q.taken, q.inserted)
	}
	moved := make(map[time.Duration]int64) // what the server had, by time
	moved[0] = 40
	for second := time.Duration(1); second <= 300; second++ {
		passed := second * time.Second
		mark := at(40 + int64(second))
		moved[passed] = mark.Offset
		certain := q.certain(now.Add(passed), margin)
		switch {
		case passed < margin && certain != at(10):
			t.Fatalf("after %v %v is certain", passed, certain)
		case passed >= margin && certain.Offset > moved[passed-margin]:
			t.Fatalf("after %v %v is certain, which is too new", passed, certain)
		case passed > 2*margin && certain.Offset < moved[passed-margin-margin/8]:
			t.Fatalf("after %v only %v is certain", passed, certain)
		}
		q.settle(mark, now.Add(passed), margin)
		if len(q.recent) > moments+2 {
			t.Fatalf("%d moments are kept", len(q.recent))
		}
	}
	if q.inserted != at(340) {
		t.Errorf("inserted is %v", q.inserted)
	}
}
