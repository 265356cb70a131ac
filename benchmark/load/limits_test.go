package load

import (
	"fmt"
	"strings"
	"testing"

	"gannet/protocol"
)

// A server that limits the load is measured no further than its limit, and the report
// says which one.
func TestALimitOfTheServerIsSaid(t *testing.T) {
	for _, sdk := range []bool{false, true} {
		t.Run(fmt.Sprintf("sdk %v", sdk), func(t *testing.T) {
			s := newFakeServer(t, nil)
			refused := 0
			s.answer = func(f protocol.Frame) ([]byte, bool) {
				if f.Type != protocol.TypeSend || refused == 1 {
					return nil, false
				}
				refused++
				return protocol.Failure{Code: protocol.CodeRateLimited, RetryAfter: 1, Text: []byte("over the limit of tests")}.AppendError(nil, f.Request), true
			}
			l := runLoad(t, s, sdk, 2, 1, 0)
			count, first := l.Faults.List()
			if count != 1 || !strings.Contains(first[0], "refused 1 requests") || !strings.Contains(first[0], "rate_limited: over the limit of tests") {
				t.Fatalf("%d faults: %q", count, first)
			}
			if n := l.Counts(); n.Acked == 0 || n.Delivered != n.Acked {
				t.Errorf("%d acked, %d delivered", n.Acked, n.Delivered)
			}
		})
	}
}

// A lean client keeps no more bytes on their way than the server has room for.
func TestTheWindowInBytes(t *testing.T) {
	for _, c := range []struct{ bytes, want int }{
		{0, 8}, {1 << 20, 8}, {3*(32+128) + 50, 3}, {10, 1},
	} {
		u := &user{load: &Load{config: Config{Size: 128}}, slots: make([]slot, 8)}
		u.limitWindow(c.bytes)
		if len(u.slots) != c.want {
			t.Errorf("%d messages of 160 bytes are on their way in a window of %d bytes", len(u.slots), c.bytes)
		}
	}
	s := newFakeServer(t, nil)
	s.windowBytes = 2*(32+128) + 10
	l := runLoad(t, s, false, 2, 8, 0)
	for _, u := range l.users {
		if HaveLean && len(u.slots) != 2 {
			t.Errorf("%d messages are on their way, WELCOME allows 2", len(u.slots))
		}
	}
	if count, first := l.Faults.List(); count > 0 || l.Counts().Acked == 0 {
		t.Errorf("%d faults: %q", count, first)
	}
}
