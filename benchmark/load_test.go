package benchmark

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
)

func userName(u *user) string { return fmt.Sprintf("user %d", u.id) }

func TestUsersArePairsWithConversationsOfTheirOwn(t *testing.T) {
	l, err := newLoad(10, 4, 128, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[uint64]bool)
	for i, u := range l.users {
		if peer := l.users[i^1]; u.target.ID != peer.id || u.check.peer != peer.id {
			t.Errorf("user %d writes to %d and hears %d, its partner is %d", u.id, u.target.ID, u.check.peer, peer.id)
		}
		if u.id == 0 || seen[u.id] {
			t.Errorf("user %d is there twice, or 0", u.id)
		}
		seen[u.id] = true
	}
	other, err := newLoad(10, 4, 128, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if seen[other.users[0].id] {
		t.Errorf("user %d is in two runs with the same seed", other.users[0].id)
	}
}

func TestImpossibleLoadsAreRefused(t *testing.T) {
	for _, tc := range []struct{ users, window, size int }{
		{0, 1, 128}, {3, 1, 128}, {2<<firstUserBits + 2, 1, 128},
		{2, 0, 128}, {2, 1025, 128},
		{2, 1, minBody - 1}, {2, 1, 64<<10 + 1},
	} {
		if _, err := newLoad(tc.users, tc.window, tc.size, 0, 1); err == nil {
			t.Errorf("%+v is taken", tc)
		}
	}
}

func TestInParallelDoesEachOnceWithinItsLimit(t *testing.T) {
	const limit, n = 4, 100
	var under, most atomic.Int64
	var done [n]atomic.Int64
	err := inParallel(context.Background(), limit, n, func(_ context.Context, i int) error {
		now := under.Add(1)
		for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
		}
		done[i].Add(1)
		under.Add(-1)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if most.Load() > limit {
		t.Errorf("%d at once, want at most %d", most.Load(), limit)
	}
	for i := range done {
		if got := done[i].Load(); got != 1 {
			t.Errorf("%d was done %d times", i, got)
		}
	}
}

func TestInParallelStopsAtTheFirstError(t *testing.T) {
	calls := 0
	err := inParallel(context.Background(), 1, 100, func(_ context.Context, i int) error {
		calls++
		if i == 3 {
			return errTest
		}
		return nil
	})
	if !errors.Is(err, errTest) || calls != 4 {
		t.Errorf("%d calls and %v, want 4 and the error of the fourth", calls, err)
	}
}

func TestLoopbackSourcesSpreadOverAddresses(t *testing.T) {
	for _, tc := range []struct {
		server string
		i      int
		want   string
	}{
		{"127.0.0.1:7420", 0, "127.0.0.1:0"},
		{"127.0.0.1:7420", portsPerSource - 1, "127.0.0.1:0"},
		{"127.0.0.1:7420", portsPerSource, "127.0.0.2:0"},
		{"127.0.0.1:7420", 300 * portsPerSource, "127.0.1.45:0"},
		{"192.0.2.1:7420", portsPerSource, "<nil>"},
		{"[::1]:7420", 0, "<nil>"},
	} {
		dialer, err := dialerFor(tc.server, tc.i)
		got := dialer.LocalAddr
		if err != nil || fmt.Sprint(got) != tc.want {
			t.Errorf("connection %d to %s comes from %v, %v, want %s", tc.i, tc.server, got, err, tc.want)
		}
	}
}
