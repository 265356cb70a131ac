// Package limitertest tests that an adapter of limiter.Limiter keeps what the port promises.
package limitertest

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gannet/internal/limiter"
)

// Make gives a Limiter whose buckets are all full, and whose clock is now.
type Make func(t *testing.T, rates limiter.Rates, now func() time.Time) limiter.Limiter

// Run tests a Limiter.
func Run(t *testing.T, make Make) {
	for _, s := range []struct {
		name  string
		story func(*world)
	}{
		{"a bucket begins full and is empty after its burst", beginsFull},
		{"all or none", allOrNone},
		{"the wait is as long as it takes, and no longer", waits},
		{"a bucket fills at its rate, up to its burst", fills},
		{"more than the burst counts as the burst", moreThanBurst},
		{"no rate is no limit", noLimit},
		{"kinds and subjects have buckets of their own", apart},
		{"many quiet subjects do not fill a busy one's bucket", manyQuiet},
		{"a clock that jumps stops nobody", clockJumps},
		{"many at once take what there is", manyAtOnce},
	} {
		t.Run(s.name, func(t *testing.T) { s.story(&world{t: t, make: make}) })
	}
}

// world is a limiter under test and its clock.
type world struct {
	t    *testing.T
	make Make
	limiter.Limiter
	clock atomic.Int64 // nanoseconds
}

// open makes the limiter with the rates that are named; other kinds have no limit.
func (w *world) open(rates limiter.Rates) {
	start := time.Unix(1_700_000_000, 0)
	w.Limiter = w.make(w.t, rates, func() time.Time { return start.Add(time.Duration(w.clock.Load())) })
}

func (w *world) pass(d time.Duration) { w.clock.Add(int64(d)) }

// taken checks that the tokens were there.
func (w *world) taken(k limiter.Kind, s limiter.Subject, n int) {
	w.t.Helper()
	if wait := w.Take(k, s, n); wait != 0 {
		w.t.Fatalf("%d tokens were not there for %v", n, wait)
	}
}

// refused checks that the tokens were not there, and gives the wait.
func (w *world) refused(k limiter.Kind, s limiter.Subject, n int) time.Duration {
	w.t.Helper()
	wait := w.Take(k, s, n)
	if wait == 0 {
		w.t.Fatalf("%d tokens were there", n)
	}
	if wait < time.Millisecond {
		w.t.Fatalf("the wait is %v", wait)
	}
	return wait
}

var alice, bob = limiter.User(1), limiter.User(2)

func sends(perSecond float64, burst int) (r limiter.Rates) {
	r[limiter.Sends] = limiter.Rate{PerSecond: perSecond, Burst: burst}
	return r
}

func beginsFull(w *world) {
	w.open(sends(1, 5))
	for range 5 {
		w.taken(limiter.Sends, alice, 1)
	}
	w.refused(limiter.Sends, alice, 1)
}

func allOrNone(w *world) {
	w.open(sends(1, 10))
	w.taken(limiter.Sends, alice, 7)
	w.refused(limiter.Sends, alice, 4)
	w.taken(limiter.Sends, alice, 3)
	w.refused(limiter.Sends, alice, 1)
}

func waits(w *world) {
	w.open(sends(4, 8))
	w.taken(limiter.Sends, alice, 8)
	for _, n := range []int{1, 3, 8} {
		wait := w.refused(limiter.Sends, alice, n)
		if want := time.Duration(n) * time.Second / 4; wait < want || wait > want+2*time.Millisecond {
			w.t.Fatalf("%d tokens at 4 a second are said to take %v", n, wait)
		}
		w.pass(wait - 3*time.Millisecond)
		w.refused(limiter.Sends, alice, n)
		w.pass(3 * time.Millisecond)
		w.taken(limiter.Sends, alice, n)
	}
}

func fills(w *world) {
	w.open(sends(100, 50))
	w.taken(limiter.Sends, alice, 50)
	w.pass(200 * time.Millisecond)
	w.taken(limiter.Sends, alice, 20)
	w.refused(limiter.Sends, alice, 1)
	w.pass(24 * time.Hour)
	w.taken(limiter.Sends, alice, 50)
	w.refused(limiter.Sends, alice, 1)
}

func moreThanBurst(w *world) {
	w.open(sends(10, 5))
	w.taken(limiter.Sends, alice, 1000)
	if wait := w.refused(limiter.Sends, alice, 1000); wait > 502*time.Millisecond {
		w.t.Fatalf("a full bucket is said to take %v", wait)
	}
}

func noLimit(w *world) {
	w.open(limiter.Rates{})
	for k := range limiter.Kinds {
		for range 100 {
			w.taken(k, alice, 1<<30)
		}
	}
	w.open(sends(1, 1))
	for range 5 {
		w.taken(limiter.Sends, alice, 0)
	}
	w.taken(limiter.Sends, alice, 1)
}

func apart(w *world) {
	rates := limiter.Rates{}
	for k := range rates {
		rates[k] = limiter.Rate{PerSecond: 1, Burst: k + 1}
	}
	w.open(rates)
	for _, s := range []limiter.Subject{alice, bob, limiter.User(1 << 63)} {
		for k := range limiter.Kinds {
			w.taken(k, s, int(k)+1)
		}
	}
	for k := range limiter.Kinds {
		w.refused(k, alice, 1)
		w.refused(k, bob, 1)
	}
}

// manyQuiet: if a hundred thousand subjects take one token each, another subject gets no new burst.
func manyQuiet(w *world) {
	w.open(sends(1, 100))
	w.taken(limiter.Sends, alice, 100)
	var s limiter.Subject
	for i := range uint64(100_000) {
		binary.BigEndian.PutUint64(s[:], i+1)
		w.taken(limiter.Sends, s, 1)
	}
	w.refused(limiter.Sends, alice, 1)
}

func clockJumps(w *world) {
	w.open(sends(10, 20))
	for _, jump := range []time.Duration{-time.Hour, time.Hour, -24 * 365 * time.Hour, 3 * 24 * 365 * time.Hour, -time.Hour} {
		for w.Take(limiter.Sends, alice, 1) == 0 {
		}
		w.pass(jump)
		if wait := w.Take(limiter.Sends, alice, 1); wait > 2*time.Second {
			w.t.Fatalf("after a jump by %v a token takes %v", jump, wait)
		}
		w.pass(2 * time.Second)
		w.taken(limiter.Sends, alice, 19)
	}
}

func manyAtOnce(w *world) {
	const workers, burst = 8, 1000
	w.open(sends(1, burst))
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range burst {
				if w.Take(limiter.Sends, alice, 1) == 0 {
					taken.Add(1)
				}
				w.Take(limiter.Sends, bob, 1)
			}
		})
	}
	wg.Wait()
	if taken.Load() != burst {
		w.t.Fatalf("%d tokens of %d were taken", taken.Load(), burst)
	}
}
