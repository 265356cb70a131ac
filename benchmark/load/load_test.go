package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gannet/benchmark/meter"
	"gannet/benchmark/report"
	"gannet/protocol"
)

func userName(u *user) string { return fmt.Sprintf("user %d", u.id) }

func TestUsersArePairsWithConversationsOfTheirOwn(t *testing.T) {
	l, err := New(Config{Users: 10, Window: 4, Size: 128, Rate: 0, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[uint64]bool)
	for i, u := range l.users {
		if peer := l.users[i^1]; len(u.checks) != 1 || u.checks[0].peer != peer.id {
			t.Errorf("user %d writes to %d, its partner is %d", u.id, u.checks[0].peer, peer.id)
		}
		if u.id == 0 || seen[u.id] {
			t.Errorf("user %d is there twice, or 0", u.id)
		}
		seen[u.id] = true
	}
	other, err := New(Config{Users: 10, Window: 4, Size: 128, Rate: 0, Seed: 1})
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
		if _, err := New(Config{Users: tc.users, Window: tc.window, Size: tc.size}); err == nil {
			t.Errorf("%+v is taken", tc)
		}
	}
}

func TestInParallelDoesEachOnceWithinItsLimit(t *testing.T) {
	const limit, n = 4, 100
	var under, most atomic.Int64
	var done [n]atomic.Int64
	err := InParallel(t.Context(), limit, n, func(_ context.Context, i int) error {
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
	err := InParallel(t.Context(), 1, 100, func(_ context.Context, i int) error {
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
		dialer, err := DialerFor(tc.server, tc.i)
		got := dialer.LocalAddr
		if err != nil || fmt.Sprint(got) != tc.want {
			t.Errorf("connection %d to %s comes from %v, %v, want %s", tc.i, tc.server, got, err, tc.want)
		}
	}
}

// clientsOf are the clients that there are on this system.
func clientsOf() map[string]bool {
	if !HaveLean {
		return map[string]bool{"sdk": true}
	}
	return map[string]bool{"sdk": true, "lean": false}
}

// runLoad lets users write to each other through a server for a moment, and
// checks everything.
func runLoad(t *testing.T, s *fakeServer, sdk bool, users, window int, rate uint64) *Load {
	t.Helper()
	return runLoadFor(t, s, sdk, users, window, rate, 100*time.Millisecond, nil)
}

// runLoadFor is runLoad for another time, or until there is enough.
func runLoadFor(t *testing.T, s *fakeServer, sdk bool, users, window int, rate uint64, moment time.Duration, enough func(Counts) bool) *Load {
	t.Helper()
	l, err := New(Config{Users: users, Window: window, Size: 128, Rate: rate, Seed: 1, SDK: sdk, Seqs: true})
	if err != nil {
		t.Fatal(err)
	}
	l.patience = s.patience()
	ctx := t.Context()
	if err := l.Open(ctx, s.server(), report.NewProgress(io.Discard)); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.Start(0, moment)
	var ends sync.WaitGroup
	ends.Go(func() {
		for l.clock.now() < l.until.Load() {
			if enough != nil && enough(l.Counts()) {
				l.Stop()
			}
			_ = meter.Rest(ctx, quietPoll)
		}
	})
	l.Send(ctx)
	ends.Wait()
	l.AwaitQuiet(ctx)
	if sdk {
		l.CheckHistories(ctx)
	}
	l.Close()
	l.Verify()
	return l
}

func TestALoadThroughAnHonestServerHasNoFaults(t *testing.T) {
	for _, tc := range []struct {
		name   string
		window int
		rate   uint64
	}{
		{"one message at a time", 1, 0},
		{"many on their way", 32, 0},
		{"on a timetable", 256, 2000},
		{"on a timetable that the window is too small for", 1, 100_000},
	} {
		for client, sdk := range clientsOf() {
			t.Run(client+", "+tc.name, func(t *testing.T) {
				l := runLoad(t, newFakeServer(t, nil), sdk, 10, tc.window, tc.rate)
				if count, first := l.Faults.List(); count > 0 {
					t.Errorf("%d faults: %q", count, first)
				}
				n := l.Counts()
				if n.Acked == 0 || n.Delivered != n.Acked {
					t.Errorf("%d acked, %d delivered", n.Acked, n.Delivered)
				}
				if want := tc.rate / 10; tc.rate > 0 && n.Acked != want {
					t.Errorf("%d acked in 100 ms at %d/s, want %d", n.Acked, tc.rate, want)
				}
				if got := l.deliverTimes.Summary().Count; uint64(got) != n.Delivered {
					t.Errorf("%d latencies of %d messages", got, n.Delivered)
				}
				if n.In < n.Delivered*128 || n.Out < n.Acked*128 || n.Reads == 0 || n.Writes == 0 {
					t.Errorf("wire %+v for %d bodies of 128 bytes", n, n.Acked)
				}
			})
		}
	}
}

func TestABrokenPromiseIsSeen(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func() func(m *protocol.Message) bool
		want  []string // among the faults
		read  string   // likewise, when the history is read
	}{
		{"a message lost after its ack", func() func(m *protocol.Message) bool {
			return func(m *protocol.Message) bool { return m.Seq != 5 }
		}, []string{"acked ones not delivered", "were lost", "gaps up to seq"}, "seq 6 follows 4"},
		{"a body changed", func() func(m *protocol.Message) bool {
			return func(m *protocol.Message) bool {
				if m.Seq == 5 {
					m.Body = append([]byte(nil), m.Body...)
					m.Body[50] ^= 1
				}
				return true
			}
		}, []string{"seq 5 from", "corrupted body", "were lost"}, "seq 5 is corrupted"},
		{"a message sent in place of another", func() func(m *protocol.Message) bool {
			var first []byte
			return func(m *protocol.Message) bool {
				if first == nil {
					first = m.Body
				} else if h, _ := readHeader(first); h.Sender == m.Sender {
					m.Body, first = first, make([]byte, minBody)
				}
				return true
			}
		}, []string{"came again", "were lost", "message 1 of user"}, ""},
	} {
		for client, sdk := range clientsOf() {
			t.Run(client+", "+tc.name, func(t *testing.T) {
				l := runLoadFor(t, newFakeServer(t, tc.spoil()), sdk, 2, 1, 0, time.Minute, func(c Counts) bool { return c.Acked >= 20 })
				count, first := l.Faults.List()
				if count == 0 {
					t.Fatal("nobody noticed")
				}
				want := tc.want
				if sdk {
					want = append(want[:len(want):len(want)], tc.read)
				}
				all := strings.Join(first, "\n")
				for _, want := range want {
					if !strings.Contains(all, want) {
						t.Errorf("%q is not among the faults\n%s", want, all)
					}
				}
			})
		}
	}
}
