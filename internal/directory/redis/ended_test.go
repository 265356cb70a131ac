//go:build cluster

package redis_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"gannet/internal/directory"
	"gannet/internal/directory/redis"
	"gannet/internal/hop"
	"gannet/internal/redis/redistest"
	"gannet/internal/registry"
)

func bindOf(user, device, number, gateway, conn uint64) directory.Bind {
	return directory.Bind{User: user, Device: device, Number: number, At: hop.Address{Gateway: gateway, Conn: conn}}
}

func bind(t testing.TB, d directory.Directory, binds ...directory.Bind) []directory.Bound {
	t.Helper()
	bound, err := d.Bind(t.Context(), binds, nil)
	if err != nil || len(bound) != len(binds) {
		t.Fatalf("%d results for %d binds: %v", len(bound), len(binds), err)
	}
	return bound
}

// conns gives the connections of the devices of a user, sorted.
func conns(t testing.TB, d directory.Directory, user uint64) (conns []uint64) {
	t.Helper()
	_, devices, err := d.Devices(t.Context(), []directory.Lookup{{User: user}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, device := range devices {
		conns = append(conns, device.At.Conn)
	}
	slices.Sort(conns)
	return conns
}

func wantConns(t testing.TB, d directory.Directory, user uint64, want ...uint64) {
	t.Helper()
	if got := conns(t, d, user); !slices.Equal(got, want) {
		t.Fatalf("user %d is at the connections %d, want %d", user, got, want)
	}
}

func wantCount(t testing.TB, d *redis.Directory, users, devices uint64) {
	t.Helper()
	if got, err := d.Count(t.Context()); err != nil || got != (redis.Connected{Users: users, Devices: devices}) {
		t.Fatalf("%+v are counted, %v; want %d users with %d devices", got, err, users, devices)
	}
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after a minute it is still not so that %s", what)
		}
	}
}

// site is a directory over a registry in memory, with two gateways.
type site struct {
	*redis.Directory
	registry    *registry.Memory
	dead, lives uint64 // epochs
}

func newSite(t *testing.T, addresses []string) *site {
	s := &site{registry: registry.NewMemory()}
	for id, epoch := range map[uint64]*uint64{1: &s.dead, 2: &s.lives} {
		own, err := s.registry.Register(t.Context(), registry.Node{ID: id, Role: registry.Gateway})
		if err != nil {
			t.Fatal(err)
		}
		*epoch = own.Epoch()
	}
	s.Directory = redis.New(redistest.Client(t, addresses...), redis.Options{Prefix: redistest.Prefix(t, addresses...), Ended: s.registry.Ended})
	return s
}

// TestDeadGateways: from the moment on at which a gateway is known to be dead its devices
// are nobody's and take nobody's place.
func TestDeadGateways(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		s := newSite(t, addresses)
		bind(t, s, bindOf(1, 10, 1, s.dead, 100), bindOf(1, 11, 1, s.lives, 101), bindOf(2, 10, 1, s.dead, 102))
		wantConns(t, s, 1, 100, 101)
		full := bindOf(1, 12, 1, s.lives, 103)
		full.Most = 2
		if got := bind(t, s, full)[0]; !got.Full {
			t.Fatalf("a third device of two is bound: %+v", got)
		}
		s.registry.End(s.dead)
		wantConns(t, s, 1, 101)
		wantConns(t, s, 2)
		other := bindOf(3, 1, 1, s.lives, 104)
		if got := bind(t, s, full, other); !slices.Equal(got, []directory.Bound{{}, {}}) {
			t.Fatalf("with a dead gateway it is %+v", got)
		}
		wantConns(t, s, 1, 101, 103)
		wantConns(t, s, 3, 104)
		full.Device, full.At.Conn = 13, 105
		if got := bind(t, s, full)[0]; !got.Full {
			t.Fatalf("a third device of two is bound: %+v", got)
		}
	})
}

// TestDoubt: while nobody knows whether a gateway is dead its devices are there.
func TestDoubt(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		d := redis.New(redistest.Client(t, addresses...), redis.Options{
			Prefix: redistest.Prefix(t, addresses...),
			Ended:  func(context.Context, uint64) (bool, error) { return true, errors.New("away") },
		})
		bind(t, d, bindOf(1, 10, 1, 7, 100))
		wantConns(t, d, 1, 100)
	})
}

// TestSweep: only the entries of the epochs that are named go, and a user of whom some
// stay is another.
func TestSweep(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		d := open(t, addresses...)
		const users = 5000
		var binds []directory.Bind
		for user := uint64(1); user <= users; user++ {
			binds = append(binds, bindOf(user, 10, 1, 7+user%3, user), bindOf(user, 11, 1, 8, user))
		}
		bind(t, d, binds...)
		wantCount(t, d, users, 2*users)
		lookups := []directory.Lookup{{User: 3}, {User: 4}, {User: 5}} // at gateways 7, 8, 9, and all at 8
		before, _, err := d.Devices(t.Context(), lookups, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		removed, err := d.Sweep(t.Context(), 7, 9)
		at7, at9 := users/3, (users+1)/3
		if err != nil || removed != at7+at9 || d.Vars()["swept"] != uint64(removed) {
			t.Fatalf("%d are removed, %v, and %d counted; want %d", removed, err, d.Vars()["swept"], at7+at9)
		}
		wantCount(t, d, users, uint64(2*users-removed))
		wantConns(t, d, 3, 3)
		wantConns(t, d, 4, 4, 4)
		for i := range lookups {
			lookups[i].Version = before[i].Version
		}
		after, _, err := d.Devices(t.Context(), lookups, nil, nil)
		if err != nil || after[0].Same || !after[1].Same || after[2].Same {
			t.Fatalf("after the sweep: %+v, %v", after, err)
		}
		if removed, err := d.Sweep(t.Context(), 8); err != nil || removed != 2*users-at7-at9 {
			t.Fatalf("%d are removed, %v", removed, err)
		}
		wantCount(t, d, 0, 0)
	})
}

// TestFollow: the entries of a gateway that dies are removed from Redis, once, and so are
// those that were left before.
func TestFollow(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		s := newSite(t, addresses)
		bind(t, s, bindOf(1, 10, 1, s.dead, 100), bindOf(1, 11, 1, s.lives, 101), bindOf(2, 10, 1, s.dead, 102), bindOf(3, 1, 1, 12345, 103))
		wantCount(t, s.Directory, 3, 4)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.Follow(ctx, s.registry)
		}()
		defer func() { cancel(); <-done }()
		eventually(t, "what an epoch left that nobody has is gone", func() bool {
			got, err := s.Count(t.Context())
			return err == nil && got.Devices == 3
		})
		s.registry.End(s.dead)
		eventually(t, "what the dead gateway left is gone", func() bool {
			got, err := s.Count(t.Context())
			return err == nil && got.Devices == 1
		})
		wantConns(t, s, 1, 101)
		if n := s.Vars()["swept"]; n != 3 {
			t.Errorf("%d entries were swept, want 3", n)
		}
	})
}

func bindsOf(user, device, number, gateway, conn uint64) []directory.Bind {
	return []directory.Bind{bindOf(user, device, number, gateway, conn)}
}
