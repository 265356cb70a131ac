package load

import (
	"io"
	"strings"
	"testing"
	"time"

	"gannet/benchmark/meter"
	"gannet/benchmark/report"
	"gannet/protocol"
)

// chat has two users write to each other while they read, and then holds one of
// them; what happens after that is up to the test.
func chat(t *testing.T, s *fakeServer) (*Load, *Markers) {
	t.Helper()
	l, err := New(Config{Users: 2, Window: 4, Size: 128, SDK: true, Seqs: true})
	if err != nil {
		t.Fatal(err)
	}
	l.patience = 2 * time.Second // the SDK acks every 250 ms or so
	if err := l.Open(t.Context(), s.server(), report.NewProgress(io.Discard)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	markers := l.StartMarkers(t.Context())
	l.Start(0, 0)
	l.Send(t.Context())
	for _, m := range markers.marks {
		for m.count.Load() < 3 {
			if meter.Rest(t.Context(), quietPoll) != nil {
				t.Fatal("nobody reads")
			}
		}
	}
	l.Stop()
	l.AwaitQuiet(t.Context())
	if err := markers.Hold(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l, markers
}

// finish checks all that can be checked.
func finish(t *testing.T, l *Load, markers *Markers) (faults string) {
	t.Helper()
	if err := markers.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	markers.Release()
	if markers.End() < 6 {
		t.Error("not every READ that was answered is counted")
	}
	if err := l.CheckCursors(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, first := l.Faults.List()
	return strings.Join(first, "\n")
}

func TestAnHonestServerKeepsCursors(t *testing.T) {
	l, markers := chat(t, newFakeServer(t, nil))
	if faults := finish(t, l, markers); faults != "" {
		t.Error(faults)
	}
}

func TestWrongCursorsAreSeen(t *testing.T) {
	for _, tc := range []struct {
		name string
		says func(s *protocol.State)
		want []string
	}{
		{"a READ that was answered is lost", func(s *protocol.State) { s.Read-- },
			[]string{"was answered, and the server says that", "the server counts"}},
		{"more is read than anybody asked for", func(s *protocol.State) { s.Read = s.Head + 1 },
			[]string{"and READ went no further than", "of a conversation that ends at"}},
		{"what has come is not delivered", func(s *protocol.State) { s.Delivered = 1 },
			[]string{"has come, and the server says that 1 is delivered"}},
		{"more is delivered than there is", func(s *protocol.State) { s.Delivered = s.Head + 1 },
			[]string{"of a conversation that ends at"}},
		{"one's own message is unread", func(s *protocol.State) { s.Unread++ },
			[]string{"the server counts"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newFakeServer(t, nil)
			l, markers := chat(t, s)
			s.mu.Lock()
			s.says = tc.says
			s.mu.Unlock()
			faults := finish(t, l, markers)
			for _, want := range tc.want {
				if !strings.Contains(faults, want) {
					t.Errorf("%q is not among the faults\n%s", want, faults)
				}
			}
		})
	}
}

// Who is held does not read, whatever comes; the next time it is the other half.
func TestMarkersAreHeldInTurn(t *testing.T) {
	l, markers := chat(t, newFakeServer(t, nil))
	for i := range markers.marks {
		held := markers.marks[i]
		if len(markers.held) != 1 || markers.held[0] != held {
			t.Fatalf("at the %d. time somebody else is held", i+1)
		}
		before := held.count.Load()
		held.user.heard.Add(1) // as if another message had come
		other := markers.marks[1-i]
		want := other.count.Load() + 1
		other.user.heard.Add(1)
		for other.count.Load() < want {
			if meter.Rest(t.Context(), quietPoll) != nil {
				t.Fatal("the other half does not read")
			}
		}
		if held.count.Load() != before {
			t.Error("who is held has read")
		}
		markers.Release()
		if err := markers.Hold(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	markers.Release()
	markers.End()
	if count, first := l.Faults.List(); count > 0 {
		t.Errorf("faults: %q", first)
	}
}
