//go:build cluster

package redis_test

import (
	"slices"
	"testing"
	"time"

	"gannet/internal/redis/redistest"
	"gannet/internal/registry"
	"gannet/internal/services/servicestest"
)

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after a minute it is still not so that %s", what)
		}
	}
}

func register(t *testing.T, r registry.Registry, id uint64) registry.Registration {
	t.Helper()
	var own registry.Registration
	eventually(t, "Redis answers", func() (ok bool) {
		var err error
		own, err = r.Register(t.Context(), registry.Node{ID: id, Role: registry.Gateway})
		return err == nil
	})
	return own
}

func refresh(t *testing.T, r registry.Registry) *registry.View {
	t.Helper()
	eventually(t, "Redis answers", func() bool { return r.Refresh(t.Context()) == nil })
	return r.View()
}

// settled waits until nodes that are not there are not expected any more.
func settled(t *testing.T, r registry.Registry) {
	t.Helper()
	eventually(t, "the registry is settled", func() bool { return !r.View().Settling })
}

func has(v *registry.View, own registry.Registration) bool {
	_, ok := v.Epoch(own.Epoch())
	return ok
}

// tests of a Redis that is away run on one that keeps what it is told at once.
var keeping = []string{"--save", "", "--appendonly", "yes", "--appendfsync", "always"}

// TestAway: while Redis is away, for much longer than an expiry, and for one expiry after
// it came back, all nodes stay, whether they live or not. After that the dead are dead
// and the living go on as they were.
func TestAway(t *testing.T) {
	t.Parallel()
	for _, how := range []struct {
		name       string
		away, back func(*servicestest.PrivateRedis)
	}{
		{"killed", (*servicestest.PrivateRedis).Kill, (*servicestest.PrivateRedis).Start},
		{"standing still", (*servicestest.PrivateRedis).Stop, (*servicestest.PrivateRedis).Continue},
	} {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			server := servicestest.OwnRedis(t, keeping...)
			a, b, c := openImpatient(t, "x", server.Address), openImpatient(t, "x", server.Address), openImpatient(t, "x", server.Address)
			lives, dies := register(t, a, 1), register(t, b, 2)
			settled(t, c)
			version := refresh(t, c).Version
			how.away(server)
			b.Close() // it dies while Redis is away
			began := time.Now()
			for time.Since(began) < 2*expiry {
				if err := c.Refresh(t.Context()); err == nil {
					t.Fatal("Redis is away, and the view was refreshed")
				}
				if v := c.View(); !has(v, lives) || !has(v, dies) || v.Version != version {
					t.Fatalf("while Redis is away the view is %d with %+v", v.Version, v.Nodes)
				}
				if ended, err := c.Ended(t.Context(), dies.Epoch()); ended || err != nil {
					t.Fatalf("while Redis is away the epoch of a node has ended: %v, %v", ended, err)
				}
				if ended, err := c.Ended(t.Context(), 12345); ended || err == nil {
					t.Fatalf("while Redis is away an unknown epoch has ended: %v, %v", ended, err)
				}
			}
			back := time.Now() // calls may be answered before how.back returns
			how.back(server)
			refresh(t, c)
			eventually(t, "the dead node is gone", func() bool { return !has(c.View(), dies) })
			if after := time.Since(back); after < expiry*9/10 {
				t.Errorf("it was declared dead %v after Redis was back", after)
			}
			if v := refresh(t, c); !has(v, lives) || v.Version <= version || len(v.Nodes) != 1 {
				t.Errorf("after that the view is %d with %+v", v.Version, v.Nodes)
			}
			if ended, err := c.Ended(t.Context(), lives.Epoch()); ended || err != nil {
				t.Errorf("the node that lives has ended: %v, %v", ended, err)
			}
			select {
			case <-lives.Ended():
				t.Error("the node that lives is told that it has ended")
			default:
			}
		})
	}
}

// TestEmptied: nodes are told that their registrations are gone, and register again. Until
// an expiry is over nobody is missed who has had no time for it, and the version rises.
func TestEmptied(t *testing.T) {
	t.Parallel()
	for _, how := range []struct {
		name  string
		empty func(*testing.T, *servicestest.PrivateRedis)
	}{
		{"restarted", func(_ *testing.T, s *servicestest.PrivateRedis) { s.Kill(); s.Start() }},
		{"flushed", func(t *testing.T, s *servicestest.PrivateRedis) {
			if err := redistest.Client(t, s.Address).FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			server := servicestest.OwnRedis(t)
			a, b, c := openImpatient(t, "x", server.Address), openImpatient(t, "x", server.Address), openImpatient(t, "x", server.Address)
			lives, dies := register(t, a, 1), register(t, b, 2)
			settled(t, c)
			version := refresh(t, c).Version
			b.Close()
			how.empty(t, server)
			v := refresh(t, c)
			if !v.Settling || v.Version <= version || !slices.ContainsFunc(v.Nodes, func(n registry.Node) bool { return n.ID == 2 }) {
				t.Fatalf("emptied, the view is %d (before %d), settling %v, with %+v", v.Version, version, v.Settling, v.Nodes)
			}
			if ended, err := c.Ended(t.Context(), dies.Epoch()); ended || err != nil {
				t.Fatalf("the dead one has ended at once: %v, %v", ended, err)
			}
			select {
			case <-lives.Ended():
			case <-time.After(time.Minute):
				t.Fatal("the living node is not told")
			}
			again := register(t, a, 1)
			v = refresh(t, c)
			if has(v, lives) || !has(v, again) {
				t.Fatalf("registered again it is there as %+v", v.Nodes)
			}
			if ended, err := c.Ended(t.Context(), lives.Epoch()); !ended || err != nil {
				t.Fatalf("the epoch of before has not ended: %v, %v", ended, err)
			}
			settled(t, c)
			if v := refresh(t, c); len(v.Nodes) != 1 || !has(v, again) {
				t.Fatalf("in the end there are %+v", v.Nodes)
			}
			if ended, err := c.Ended(t.Context(), dies.Epoch()); !ended || err != nil {
				t.Fatalf("the dead one has not ended: %v, %v", ended, err)
			}
		})
	}
}

// TestOlder: a Redis that comes back with an older state must not make those forgotten
// who registered since, and its versions must not fall.
func TestOlder(t *testing.T) {
	t.Parallel()
	server := servicestest.OwnRedis(t, "--save", "3600 1000000", "--appendonly", "no")
	client := redistest.Client(t, server.Address)
	a, b, c := openImpatient(t, "x", server.Address), openImpatient(t, "x", server.Address), openImpatient(t, "x", server.Address)
	old := register(t, a, 1)
	settled(t, c)
	if err := client.Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	newer := register(t, b, 2)
	version := refresh(t, c).Version
	server.Kill()
	server.Start()
	v := refresh(t, c)
	if !v.Settling || v.Version <= version || !slices.ContainsFunc(v.Nodes, func(n registry.Node) bool { return n.ID == 2 }) {
		t.Fatalf("Redis is older, the view is %d (before %d), settling %v, with %+v", v.Version, version, v.Settling, v.Nodes)
	}
	select {
	case <-newer.Ended():
	case <-time.After(time.Minute):
		t.Fatal("the node that Redis forgot is not told")
	}
	again := register(t, b, 2)
	settled(t, c)
	if v := refresh(t, c); len(v.Nodes) != 2 || !has(v, again) || !has(v, old) {
		t.Fatalf("in the end there are %+v", v.Nodes)
	}
}

// TestSaw: a queue names a view that is newer than what Redis has, whose clock was set back after
// it had lost its data. The versions rise above that one for everybody, and nodes may be missing
// for an expiry. A version that Redis has had, or that cannot be, changes nothing.
func TestSaw(t *testing.T) {
	t.Parallel()
	server := servicestest.OwnRedis(t)
	a, b := openImpatient(t, "x", server.Address), openImpatient(t, "x", server.Address)
	own := register(t, a, 1)
	settled(t, b)
	before := refresh(t, b).Version
	for _, version := range []uint64{before, 1<<52 + 1, 1<<64 - 1} {
		b.Saw(version)
	}
	if v := refresh(t, b); v.Version != before || v.Settling {
		t.Fatalf("the view is %d, settling %v; it was %d", v.Version, v.Settling, before)
	}
	if n := b.Vars()["strange"]; n != 2 {
		t.Errorf("%d versions are counted that cannot be", n)
	}
	ahead := before + uint64(24*time.Hour/time.Microsecond)
	b.Saw(ahead)
	for _, r := range []registry.Registry{b, a} {
		if v := refresh(t, r); v.Version <= ahead || !v.Settling || !has(v, own) {
			t.Fatalf("a queue names %d; the view is %d, settling %v, with %+v", ahead, v.Version, v.Settling, v.Nodes)
		}
	}
	settled(t, a)
	after := refresh(t, b).Version
	b.Saw(ahead)
	if v := refresh(t, b); v.Version != after || v.Settling {
		t.Errorf("heard once more the view is %d, settling %v; it was %d", v.Version, v.Settling, after)
	}
}

// TestUnreadable: what somebody else wrote is left out, counted, and hurts nobody.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	server := servicestest.OwnRedis(t)
	client := redistest.Client(t, server.Address)
	a := openImpatient(t, "x", server.Address)
	for member, value := range map[string]string{"x": "y", "0000000000000001.0000000000000002": "1", "0000000000000003.0000000000000004": "1700000000000 {", "0000000000000000.0000000000000004": `1700000000000 {"role":"logic"}`} {
		if err := client.HSet(t.Context(), "{x:registry}:nodes", member, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	own := register(t, a, 1)
	if v := refresh(t, a); len(v.Nodes) != 1 || !has(v, own) {
		t.Errorf("the nodes are %+v", v.Nodes)
	}
	if n := a.Vars()["unreadable"]; n < 4 {
		t.Errorf("%d are counted", n)
	}
}
