//go:build cluster

package cluster

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gannet/internal/chain"
	"gannet/internal/registry"
)

// TestHealth: a queue that cannot be followed is named after a minute of errors, as long as
// they come and it is this node's.
func TestHealth(t *testing.T) {
	s := newScene(t, 2)
	place := s.node(1)
	o := s.options(1)
	var later atomic.Int64
	began := time.Now()
	o.Now = func() time.Time { return began.Add(time.Duration(later.Load())) }
	q, err := New(o)
	must(t, err)
	must(t, q.Begin(t.Context(), 0, 1))
	f := follow(t, q, 1, doneAtOnce) // the other one goes on
	s.writers[1].put(message(1, 0, "a"))
	eventually(t, "a record of the other one", func() bool { return len(f.got()) == 1 })
	lost := chain.Mark{Offset: 0, Writer: 1, Number: 1} // the record there is another
	must(t, s.redis.Set(t.Context(), q.state.key(s.writers[0].queue, "t"), appendMark(nil, lost), 0).Err())
	fails := func(after time.Duration) {
		t.Helper()
		later.Add(int64(after))
		if err := follow(t, q, 0, doneAtOnce).over(); !errors.Is(err, chain.ErrLost) {
			t.Fatalf("it ended with %v", err)
		}
	}
	well := func(when string) {
		t.Helper()
		if err := q.Health(); err != nil {
			t.Errorf("%s it says %v", when, err)
		}
	}
	ill := func(since time.Duration, ago string) {
		t.Helper()
		err := q.Health()
		if !errors.Is(err, chain.ErrLost) || !strings.Contains(err.Error(), "chat queue 0: following it has failed again and again since "+began.Add(since).Format(time.DateTime)+", the last time "+ago+" ago") || strings.Contains(err.Error(), "queue 1") {
			t.Errorf("it says %v", err)
		}
	}
	well("before anything failed")
	fails(0)
	fails(59 * time.Second)
	well("before a minute is over")
	fails(2 * time.Second)
	ill(0, "0s")
	later.Add(int64(failingTime))
	ill(0, "1m0s")
	must(t, place.SetState(t.Context(), registry.Draining))
	well("of a queue that is nobody's")
	must(t, place.SetState(t.Context(), registry.Serving))
	ill(0, "1m0s")
	later.Add(int64(time.Second))
	well("a minute after the last error")
	fails(0)
	well("of errors that begin anew")
	fails(61 * time.Second)
	well("of errors that are seldom")
	fails(failingTime)
	fails(time.Second)
	ill(183*time.Second, "0s")
	must(t, ignore(f.end(), context.Canceled))
	ill(183*time.Second, "0s") // to be ended is no error
}
