package load

import (
	"context"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"gannet/benchmark/report"
	"gannet/protocol"
)

// pacedLoad opens a load whose users rest between messages, and of whom some only listen.
func pacedLoad(t *testing.T, s *fakeServer) *Load {
	t.Helper()
	l, err := New(Config{Users: 8, Window: 1, Size: 64, SDK: true, Seqs: true, Pace: 2 * time.Millisecond, Listeners: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	server := s.server()
	server.Address += "," + server.Address // as of two gateways
	if err := l.Open(t.Context(), server, report.NewProgress(io.Discard)); err != nil {
		t.Fatal(err)
	}
	l.Start(0, 0)
	l.Send(t.Context())
	return l
}

// All are served, those who only listen send nothing, and the checks hold.
func TestUsersAreServed(t *testing.T) {
	l := pacedLoad(t, newFakeServer(t, nil))
	for range 3 {
		if took, err := l.Moment().Await(t.Context(), time.Minute); err != nil || took <= 0 {
			t.Fatalf("served after %v: %v", took, err)
		}
	}
	l.Stop()
	l.AwaitQuiet(t.Context())
	l.CheckHistories(t.Context())
	if err := l.CheckCursors(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.Close()
	l.Verify()
	if n, list := l.Faults.List(); n > 0 {
		t.Errorf("%d faults: %v", n, list)
	}
	if lost, repeats := l.Losses(); lost != 0 || repeats != 0 {
		t.Errorf("%d lost, %d repeated", lost, repeats)
	}
	for i, u := range l.users {
		if listens := i%4 == 1; listens != (u.sent == 0) {
			t.Errorf("user %d has sent %d messages", i, u.sent)
		}
	}
}

// A user who gets no push is not served, also where acks go on.
func TestUsersWithoutPushesAreNotServed(t *testing.T) {
	s := newFakeServer(t, nil)
	var mute atomic.Bool
	s.push = func(m *protocol.Message) []byte {
		if mute.Load() {
			return []byte{}
		}
		return m.AppendFrame(nil)
	}
	l := pacedLoad(t, s)
	if _, err := l.Moment().Await(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	mute.Store(true)
	m := l.Moment()
	before := l.Counts().Acked
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if took, err := m.Await(ctx, time.Minute); err == nil {
		t.Errorf("all are served after %v", took)
	}
	if l.Counts().Acked == before {
		t.Error("nothing was acked meanwhile")
	}
	l.Stop()
}
