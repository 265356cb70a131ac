//go:build cluster

package redis_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"gannet/internal/directory"
	"gannet/internal/directory/redis"
	"gannet/internal/redis/redistest"
	"gannet/internal/services/servicestest"
)

func version(t *testing.T, d directory.Directory, user uint64) uint64 {
	t.Helper()
	answers, _, err := d.Devices(t.Context(), []directory.Lookup{{User: user}}, nil, nil)
	if err != nil || len(answers) != 1 {
		t.Fatalf("%+v, %v", answers, err)
	}
	return answers[0].Version
}

// TestKilled: a server that is away is an error of every call; back, it works, and empty
// it gives other versions and higher numbers than before.
func TestKilled(t *testing.T) {
	server := servicestest.OwnRedis(t)
	d := open(t, server.Address)
	numbers, err := d.Draw(t.Context(), []uint64{1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	number := numbers[0]
	b := bindOf(1, 10, number, 7, 100)
	bind(t, d, b)
	before := version(t, d, 1)
	server.Kill()
	if n, err := d.Draw(t.Context(), []uint64{1}, nil); err == nil || len(n) != 0 {
		t.Errorf("a server that is not there draws %d", n)
	}
	if bound, err := d.Bind(t.Context(), []directory.Bind{b}, nil); err == nil || len(bound) != 0 {
		t.Errorf("a server that is not there binds: %+v", bound)
	}
	if err := d.Unbind(t.Context(), []directory.Bind{b}); err == nil {
		t.Error("a server that is not there unbinds")
	}
	if answers, _, err := d.Devices(t.Context(), []directory.Lookup{{User: 1}}, nil, nil); err == nil || len(answers) != 0 {
		t.Errorf("a server that is not there answers %+v", answers)
	}
	server.Start()
	wantConns(t, d, 1)
	if v := version(t, d, 1); v == before {
		t.Errorf("emptied, the version is %d as before", v)
	}
	if numbers, err = d.Draw(t.Context(), []uint64{1}, nil); err != nil || numbers[0] <= number {
		t.Fatalf("after the loss %d is drawn, %v; before it was %d", numbers, err, number)
	}
	later := numbers[0]
	// A login that is newer than the loss wins over those that are bound once more.
	bind(t, d, bindOf(1, 10, later, 7, 101))
	if got := bind(t, d, b)[0]; !got.Lost {
		t.Errorf("the older login, bound once more, came to %+v", got)
	}
	wantConns(t, d, 1, 101)
}

// TestStandsStill: nobody waits for long for a server that stands still.
func TestStandsStill(t *testing.T) {
	server := servicestest.OwnRedis(t)
	d := openAt(t, "x", server.Address)
	impatient := redis.New(redistest.Impatient(t, server.Address), redis.Options{Prefix: "x"})
	b := bindOf(1, 10, 1, 7, 100)
	bind(t, d, b)
	server.Stop()
	began := time.Now()
	if _, err := impatient.Bind(t.Context(), []directory.Bind{bindOf(1, 10, 2, 8, 101)}, nil); err == nil {
		t.Error("a server that stands still binds")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	server.Continue()
	// The bind whose answer was lost is asked for again, and names what it replaced.
	if got := bind(t, d, bindOf(1, 10, 2, 8, 101))[0]; got != (directory.Bound{Replaced: b.At}) {
		t.Errorf("bound once more it came to %+v", got)
	}
	wantConns(t, d, 1, 101)
}

// TestBoundTwice: whoever asks again gets the same answer, however often.
func TestBoundTwice(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		d := open(t, addresses...)
		first, second := bindOf(1, 10, 1, 7, 100), bindOf(1, 10, 2, 8, 101)
		for range 3 {
			if got := bind(t, d, first)[0]; got != (directory.Bound{}) {
				t.Fatalf("the first bind came to %+v", got)
			}
		}
		for range 3 {
			if got := bind(t, d, second)[0]; got != (directory.Bound{Replaced: first.At}) {
				t.Fatalf("the second bind came to %+v", got)
			}
			if got := bind(t, d, first)[0]; got != (directory.Bound{Lost: true}) {
				t.Fatalf("the first bind, once more, came to %+v", got)
			}
		}
	})
}

// TestWatch: a server that was restarted, and one that was emptied while it ran, are
// noticed, and nothing else is.
func TestWatch(t *testing.T) {
	server := servicestest.OwnRedis(t)
	client := redistest.Client(t, server.Address)
	d, other := open(t, server.Address), open(t, server.Address)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	var calls, here, all atomic.Int64
	go func() {
		defer close(done)
		d.Watch(ctx, time.Millisecond, func(user func(uint64) bool) {
			lost := 0
			for u := range uint64(1000) {
				if user(u) {
					lost++
				}
			}
			if lost > 0 {
				here.Add(1)
			}
			if lost == 1000 {
				all.Add(1)
			}
			calls.Add(1)
		})
	}()
	defer func() { cancel(); <-done }()
	keys := func() int64 { n, _ := client.DBSize(t.Context()).Result(); return n }
	eventually(t, "every bucket is known", func() bool { return keys() == 4096 })
	for user := range uint64(1000) {
		bind(t, d, bindOf(user, 1, 1, 7, user))
		bind(t, other, bindOf(user, 1, 1, 7, user)) // under another prefix
	}
	if n := calls.Load(); n != 0 {
		t.Fatalf("nothing happened, and %d losses were told", n)
	}
	server.Kill()
	server.Start()
	eventually(t, "the restart is told", func() bool { return all.Load() > 0 })
	eventually(t, "every bucket is known", func() bool { return keys() == 4096 })
	calls.Store(0)
	here.Store(0)
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	bind(t, d, bindOf(1, 1, 1, 7, 1)) // makes a bucket anew
	eventually(t, "that it was emptied is told", func() bool { return here.Load() > 0 && keys() == 4096 })
	if n := d.Vars()["lost"]; n < 2 {
		t.Errorf("%d losses are counted", n)
	}
}

// TestUnreadable: what somebody else wrote hides the devices of its user and nobody else's.
func TestUnreadable(t *testing.T) {
	server := servicestest.OwnRedis(t)
	client := redistest.Client(t, server.Address)
	d := open(t, server.Address)
	for _, value := range []string{"x", "12345678", "12345678 and some more"} {
		bind(t, d, bindOf(1, 10, 1, 7, 100), bindOf(2, 10, 1, 7, 101))
		keys, err := client.Keys(t.Context(), "*").Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			if there, err := client.HExists(t.Context(), key, "\x00\x00\x00\x00\x00\x00\x00\x01").Result(); err == nil && there {
				if err := client.HSet(t.Context(), key, "\x00\x00\x00\x00\x00\x00\x00\x01", value).Err(); err != nil {
					t.Fatal(err)
				}
			}
		}
		before := d.Vars()["unreadable"]
		wantConns(t, d, 1)
		wantConns(t, d, 2, 101)
		if n := d.Vars()["unreadable"]; n != before+1 {
			t.Errorf("%d are counted after %d", n, before)
		}
		bind(t, d, bindOf(1, 11, 1, 7, 102)) // in its place
		wantConns(t, d, 1, 102)
		if err := client.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
}
