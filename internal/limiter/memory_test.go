package limiter_test

import (
	"encoding/binary"
	"testing"
	"time"

	"gannet/internal/limiter"
	"gannet/internal/limiter/limitertest"
)

func TestMemory(t *testing.T) {
	limitertest.Run(t, func(_ *testing.T, rates limiter.Rates, now func() time.Time) limiter.Limiter {
		return limiter.NewMemory(rates, now)
	})
}

// TestMemoryForgetsTheFullest fills the table with subjects that have used up half of
// their tokens: those that have used up all are still known, and others get a place.
func TestMemoryForgetsTheFullest(t *testing.T) {
	var rates limiter.Rates
	rates[limiter.Connects] = limiter.Rate{PerSecond: 1, Burst: 100}
	start := time.Unix(0, 0)
	m := limiter.NewMemory(rates, func() time.Time { return start })
	const busy = 1000
	for i := range uint64(busy) {
		m.Take(limiter.Connects, limiter.User(i+1), 100)
	}
	var s limiter.Subject
	for i := range uint64(500_000) {
		binary.BigEndian.PutUint64(s[:], i+1)
		m.Take(limiter.Connects, s, 50)
	}
	for i := range uint64(busy) {
		if m.Take(limiter.Connects, limiter.User(i+1), 1) == 0 {
			t.Fatalf("busy subject %d got a new bucket", i+1)
		}
	}
	if m.Take(limiter.Connects, limiter.User(busy+1), 100) != 0 {
		t.Fatal("a new subject's bucket is not full")
	}
}

// TestMemoryReusesFullBuckets: what is full again makes room before anything else.
func TestMemoryReusesFullBuckets(t *testing.T) {
	var rates limiter.Rates
	rates[limiter.Connects] = limiter.Rate{PerSecond: 1, Burst: 100}
	now := time.Unix(0, 0)
	m := limiter.NewMemory(rates, func() time.Time { return now })
	var s limiter.Subject
	for i := range uint64(500_000) {
		binary.BigEndian.PutUint64(s[:], i+1)
		m.Take(limiter.Connects, s, 100)
	}
	now = now.Add(100 * time.Second) // all are full
	for i := range uint64(1000) {
		m.Take(limiter.Connects, limiter.User(i+1), 1)
	}
	for i := range uint64(1000) {
		if m.Take(limiter.Connects, limiter.User(i+1), 100) == 0 {
			t.Fatalf("subject %d, a thousand of which there are, was forgotten", i+1)
		}
	}
}

func TestMemoryKnowsItsBursts(t *testing.T) {
	rates := limiter.DefaultRates()
	rates[limiter.Syncs] = limiter.Rate{}
	m := limiter.NewMemory(rates, nil)
	for k := range limiter.Kinds {
		if got := m.Burst(k); got != rates[k].Burst {
			t.Errorf("the burst of kind %d is %d, want %d", k, got, rates[k].Burst)
		}
	}
}

func TestMemoryAllocatesNothing(t *testing.T) {
	m := limiter.NewMemory(limiter.DefaultRates(), nil)
	n := uint64(0)
	if got := testing.AllocsPerRun(1000, func() { n++; m.Take(limiter.Sends, limiter.User(n), 1) }); got != 0 {
		t.Fatalf("a Take allocates %v times", got)
	}
}

func BenchmarkMemory(b *testing.B) {
	b.Run("one user", func(b *testing.B) {
		m := limiter.NewMemory(limiter.DefaultRates(), nil)
		b.ReportAllocs()
		for b.Loop() {
			m.Take(limiter.Sends, limiter.User(1), 1)
		}
	})
	b.Run("all at once", func(b *testing.B) {
		m := limiter.NewMemory(limiter.DefaultRates(), nil)
		b.RunParallel(func(pb *testing.PB) {
			for n := uint64(0); pb.Next(); n++ {
				m.Take(limiter.Sends, limiter.User(n%20_000), 1)
			}
		})
	})
}

// TestMemoryDrains: a bucket is never fuller than others say, nor emptier than empty, and
// what differs by a rounding changes nothing.
func TestMemoryDrains(t *testing.T) {
	var rates limiter.Rates
	rates[limiter.Sends] = limiter.Rate{PerSecond: 10, Burst: 100}
	start := time.Unix(0, 0)
	m := limiter.NewMemory(rates, func() time.Time { return start })
	left := func(user uint64) (n int) {
		for m.Take(limiter.Sends, limiter.User(user), 1) == 0 {
			n++
		}
		return n
	}
	for i, c := range []struct {
		taken int
		full  time.Duration
		left  int
	}{
		{0, 0, 100}, {0, -time.Hour, 100}, {0, time.Second, 90}, {0, 10 * time.Second, 0}, {0, time.Hour, 0},
		{50, time.Second, 50}, {50, 5*time.Second + time.Microsecond, 50}, {50, 7 * time.Second, 30},
	} {
		user := uint64(i + 1)
		m.Take(limiter.Sends, limiter.User(user), c.taken)
		m.Drain(limiter.Sends, limiter.User(user), c.full)
		if got := left(user); got != c.left {
			t.Errorf("%+v: %d are left", c, got)
		}
	}
	m.Drain(limiter.Syncs, limiter.User(1), time.Hour) // no limit
	if m.Take(limiter.Syncs, limiter.User(1), 1) != 0 {
		t.Error("a kind without a limit was drained")
	}
}
