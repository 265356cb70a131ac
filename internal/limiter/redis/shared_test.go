//go:build cluster

package redis_test

import (
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	"gannet/internal/limiter"
	"gannet/internal/limiter/redis"
	"gannet/internal/redis/redistest"
	"gannet/internal/services/servicestest"
)

func sends(perSecond float64, burst int) (r limiter.Rates) {
	r[limiter.Sends] = limiter.Rate{PerSecond: perSecond, Burst: burst}
	return r
}

// TestShared: of several processes that ask for as much as they can, all together get the
// rate in the long run, and a burst each at the beginning.
func TestShared(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		const nodes, rate, burst, seconds, step = 4, 100, 50, 30, 20 * time.Millisecond
		var clock atomic.Int64
		now := func() time.Time { return time.Unix(1_700_000_000, clock.Load()) }
		prefix := redistest.Prefix(t, addresses...)
		var all []settled
		for range nodes {
			all = append(all, settled{openAt(t, sends(rate, burst), now, prefix, addresses...)})
		}
		taken, late := 0, 0
		alice := limiter.User(1)
		for at := time.Duration(0); at < seconds*time.Second; at += step {
			for _, l := range all {
				for l.Take(limiter.Sends, alice, 1) == 0 {
					taken++
					if at >= seconds*time.Second/2 {
						late++
					}
				}
			}
			clock.Add(int64(step))
		}
		if most := rate*seconds + nodes*burst + nodes*burst/2; taken > most {
			t.Errorf("%d nodes got %d tokens in %d s at %d a second: more than %d", nodes, taken, seconds, rate, most)
		}
		if want := rate * seconds / 2; late < want*8/10 || late > want*11/10 {
			t.Errorf("in the second half they got %d tokens, the rate is %d", late, want)
		}
		short := uint64(0)
		for _, l := range all {
			short += l.Vars()["short"]
		}
		if short == 0 {
			t.Error("the shared bucket never was short")
		}
	})
}

// TestOthersTake: what one process took is soon missing in another one, though not what is
// less than a block.
func TestOthersTake(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		now := func() time.Time { return time.Unix(1_700_000_000, 0) }
		prefix := redistest.Prefix(t, addresses...)
		a := settled{openAt(t, sends(1, 160), now, prefix, addresses...)}
		b := settled{openAt(t, sends(1, 160), now, prefix, addresses...)}
		alice, bob := limiter.User(1), limiter.User(2)
		if a.Take(limiter.Sends, alice, 150) != 0 || a.Take(limiter.Sends, bob, 9) != 0 {
			t.Fatal("the tokens were not there")
		}
		for _, who := range []limiter.Subject{alice, bob} {
			if b.Take(limiter.Sends, who, 10) != 0 { // a block, which is charged
				t.Fatal("the tokens were not there")
			}
		}
		if wait := b.Take(limiter.Sends, alice, 5); wait < 4*time.Second || wait > 5*time.Second {
			t.Errorf("with nothing left in the shared bucket 5 tokens take %v", wait)
		}
		if wait := b.Take(limiter.Sends, bob, 150); wait != 0 {
			t.Errorf("of another one 150 tokens take %v", wait)
		}
		if n := a.Vars()["charged"]; n != 1 {
			t.Errorf("one process charged %d times", n)
		}
	})
}

// TestAway: without Redis each process limits by itself, never waits, and says so.
func TestAway(t *testing.T) {
	server := servicestest.OwnRedis(t)
	client := redistest.Impatient(t, server.Address)
	l := redis.New(client, sends(0.001, 100), redis.Options{})
	defer l.Close()
	alice, bob, carol := limiter.User(1), limiter.User(2), limiter.User(3)
	take := func(who limiter.Subject, n int) {
		t.Helper()
		if wait := l.Take(limiter.Sends, who, n); wait != 0 {
			t.Fatalf("%d tokens take %v", n, wait)
		}
	}
	take(alice, 60)
	if l.Flush(); l.Vars()["charged"] != 1 {
		t.Fatalf("%v", l.Vars())
	}
	server.Stop()
	began := time.Now()
	for range 10 {
		take(bob, 10)
	}
	if wait := l.Take(limiter.Sends, bob, 1); wait == 0 {
		t.Error("the local bucket has more than its burst")
	}
	if wait := l.Take(limiter.Sends, alice, 41); wait == 0 {
		t.Error("the local bucket forgot what was taken before")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	l.Flush()
	if v := l.Vars(); v["unanswered"] == 0 || v["charged"] != 1 {
		t.Errorf("%v", v)
	}
	server.Continue()
	for before := l.Vars()["charged"]; l.Vars()["charged"] == before; {
		if l.Take(limiter.Sends, carol, 1) != 0 {
			t.Fatal("with Redis back a hundred charges failed")
		}
		for range 5 {
			l.Take(limiter.Sends, carol, 1)
		}
		l.Flush()
		time.Sleep(200 * time.Millisecond) // it tries again a second after a failure
	}
}

// TestBounded: however many subjects come, what is kept of them is bounded.
func TestBounded(t *testing.T) {
	addresses := []string{servicestest.Redis(t)}
	now := func() time.Time { return time.Unix(1_700_000_000, 0) }
	l := openAt(t, sends(0.001, 1000), now, redistest.Prefix(t, addresses...), addresses...)
	const subjects = 100_000
	var s limiter.Subject
	for i := range uint64(subjects) {
		binary.BigEndian.PutUint64(s[:], i+1)
		if wait := l.Take(limiter.Sends, s, 1); wait != 0 {
			t.Fatalf("subject %d waits for %v", i, wait)
		}
	}
	if kept := l.Kept(); kept > 64<<10 || kept+int(l.Vars()["untracked"]) != subjects {
		t.Errorf("%d subjects are kept, and %d are not", kept, l.Vars()["untracked"])
	}
}

// TestBoundedForgets: those whose buckets are full again make room, though a few of them
// are not found.
func TestBoundedForgets(t *testing.T) {
	addresses := []string{servicestest.Redis(t)}
	var clock atomic.Int64
	now := func() time.Time { return time.Unix(1_700_000_000, clock.Load()) }
	l := openAt(t, sends(1, 1000), now, redistest.Prefix(t, addresses...), addresses...)
	var s limiter.Subject
	for i := range uint64(200_000) {
		if i%20_000 == 0 {
			clock.Add(int64(1001 * time.Second))
		}
		binary.BigEndian.PutUint64(s[:], i+1)
		l.Take(limiter.Sends, s, 1)
	}
	if n := l.Vars()["untracked"]; n > 2000 {
		t.Errorf("%d takes found no room", n)
	}
}

func BenchmarkTake(b *testing.B) {
	l := redis.New(redistest.Client(b, servicestest.Redis(b)), limiter.DefaultRates(), redis.Options{Prefix: redistest.Prefix(b, servicestest.Redis(b))})
	defer l.Close()
	b.ReportAllocs()
	for n := uint64(0); b.Loop(); n++ {
		l.Take(limiter.Sends, limiter.User(n%20_000), 1)
	}
}
