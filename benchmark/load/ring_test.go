//go:build linux

package load

import (
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gannet/benchmark/report"
	"gannet/protocol"
)

// runRing lets ten users in a ring write to six others each until every conversation has
// begun, and checks everything.
func runRing(t *testing.T, s *fakeServer) *Load {
	t.Helper()
	l, err := New(Config{Users: 10, Conversations: 30, Window: 4, Size: 128, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if err := l.Open(ctx, s.server(), report.NewProgress(io.Discard)); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.patience = 5 * time.Second
	l.Start(0, 0)
	l.Send(ctx)
	if err := l.AwaitBegun(ctx, report.NewProgress(io.Discard)); err != nil {
		t.Fatal(err)
	}
	l.Stop()
	l.patience = s.patience()
	l.AwaitQuiet(ctx)
	l.Close()
	l.Verify()
	return l
}

func TestARingThroughAnHonestServerHasNoFaults(t *testing.T) {
	for name, push := range map[string]func(m *protocol.Message) []byte{
		"by push": nil,
		"by hints of a conversation": func(m *protocol.Message) []byte {
			return protocol.Cursor{Target: protocol.Target{Kind: protocol.KindDirect, ID: m.Sender}, Seq: m.Seq}.AppendHint(nil)
		},
		"by hints of anything": func(*protocol.Message) []byte { return protocol.Cursor{}.AppendHint(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newFakeServer(t, nil)
			s.push = push
			l := runRing(t, s)
			if count, first := l.Faults.List(); count > 0 {
				t.Errorf("%d faults: %q", count, first)
			}
			if n := l.Counts(); n.Acked < 60 || n.Delivered != n.Acked {
				t.Errorf("%d acked, %d delivered", n.Acked, n.Delivered)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.conversations) != 30 {
				t.Errorf("the server has %d conversations, want 30", len(s.conversations))
			}
			for c, messages := range s.conversations {
				if len(messages) < 2 {
					t.Errorf("conversation %v has %d messages, and both sides are to have written", c, len(messages))
				}
			}
		})
	}
}

func TestWhatIsLostInARingIsSeen(t *testing.T) {
	var lost atomic.Uint64
	l := runRing(t, newFakeServer(t, func(m *protocol.Message) bool {
		return m.Seq != 2 || !lost.CompareAndSwap(0, m.Target.ID)
	}))
	_, first := l.Faults.List()
	if all := strings.Join(first, "\n"); !strings.Contains(all, "1 of the ") || !strings.Contains(all, "were lost") {
		t.Errorf("a message to user %d was lost; faults:\n%s", lost.Load(), all)
	}
	if n, _ := l.Losses(); n != 1 {
		t.Errorf("%d messages count as lost", n)
	}
}

// Every conversation that moved is acked; the last ones when the client closes.
func TestEachConversationOfARingIsAcked(t *testing.T) {
	s := newFakeServer(t, nil)
	l := runRing(t, s)
	s.listener.Close()
	s.served.Wait() // until all that was written is read
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range l.users {
		for turn := range u.checks {
			c := &u.checks[turn]
			if got := s.delivered[[2]uint64{u.id, c.peer}]; got != c.last {
				t.Errorf("user %d got seq %d of user %d and acked %d", u.id, c.last, c.peer, got)
			}
		}
	}
	if n := l.Counts().PushAcks; n < 60 {
		t.Errorf("%d PUSHACKs count for 60 talks", n)
	}
}
