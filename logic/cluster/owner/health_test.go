//go:build cluster

package owner_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gannet/internal/chain"
	"gannet/internal/registry"
	"gannet/logic"
	"gannet/logic/cluster/owner"
)

// ailing is a node whose clock and broker the test has in hand.
type ailing struct {
	*losing
	mu    sync.Mutex
	now   time.Time
	said  strings.Builder
	fault atomic.Pointer[error] // what the broker says to every append; nil: nothing
}

func newAiling(t *testing.T, fault error) *ailing {
	a := &ailing{now: time.Now()}
	if fault != nil {
		a.fault.Store(&fault)
	}
	a.losing = newLosingWith(t, func(l *losing) {
		l.memory.Before = func(context.Context, chain.Queue, []byte) error {
			if err := a.fault.Load(); err != nil {
				return *err
			}
			return nil
		}
		l.tune = func(o *owner.Options) {
			o.Now = func() time.Time { a.mu.Lock(); defer a.mu.Unlock(); return a.now }
			o.Log = slog.New(slog.NewTextHandler(locked{&a.mu, &a.said}, nil))
		}
	})
	return a
}

// later lets time pass.
func (a *ailing) later(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.now = a.now.Add(d)
}

func (a *ailing) lines(text string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Count(a.said.String(), text)
}

// well waits until Health has nothing to say.
func (a *ailing) well() {
	a.t.Helper()
	eventually(a.t, "the node is well", func() bool { return a.node.owner.Health() == nil })
}

// named waits until Health names the queues with an error that has each of the words.
func (a *ailing) named(queues []int, words ...string) {
	a.t.Helper()
	var last error
	for _, q := range queues {
		words = append(words, chain.Queue{Class: chain.Chat, Number: q}.String())
	}
	defer func() {
		if a.t.Failed() {
			a.t.Logf("the last that Health said is %v", last)
		}
	}()
	eventually(a.t, "the queues are named", func() bool {
		if last = a.node.owner.Health(); last == nil || strings.Count(last.Error(), "has not been writable since") != len(queues) {
			return false
		}
		for _, w := range words {
			if !strings.Contains(last.Error(), w) {
				return false
			}
		}
		return true
	})
}

// fails waits until so many more tries have failed, over the broker or over Redis, and until each
// queue has noted since when it fails, which it does after the try was counted.
func (a *ailing) fails(n uint64) {
	a.t.Helper()
	count := func() uint64 {
		v := a.node.owner.Vars()
		return v["failed.broker"] + v["failed.view"]
	}
	from := count()
	eventually(a.t, "tries fail", func() bool { return count() >= from+n })
	for q := range a.queues {
		eventually(a.t, fmt.Sprintf("it is noted that queue %d fails", q), func() bool { return a.node.owner.Unable(q) })
	}
}

const notForLong = "a queue has not been writable for long"

var errNoAnswer = errors.New("the broker has no answer")

// TestHealthOfTakeOvers: queues that cannot be taken over are named after a minute and not
// before, while they are this node's.
func TestHealthOfTakeOvers(t *testing.T) {
	a := newAiling(t, nil)
	a.node.stop()
	a.fault.Store(&errNoAnswer)
	a.node = a.start(2)
	a.fails(4)
	a.later(59 * time.Second)
	a.fails(4)
	if err := a.node.owner.Health(); err != nil || a.lines(notForLong) > 0 {
		t.Fatalf("before a minute is over it says %v, and logs %d lines", err, a.lines(notForLong))
	}
	a.later(5 * time.Second)
	a.named([]int{0, 1}, "1m4s", errNoAnswer.Error())
	a.fails(6)
	eventually(t, "both queues are counted, and it is logged", func() bool {
		return a.node.owner.Vars()["unable.queues"] == uint64(a.queues) && a.lines(notForLong) > 0
	})
	a.fails(6)
	if n := a.lines(notForLong); n > a.queues || a.node.owner.Vars()["unable.queues"] != uint64(a.queues) {
		t.Errorf("%d lines say that two queues are not writable, %v are counted", n, a.node.owner.Vars()["unable.queues"])
	}
	must(t, a.node.place.SetState(t.Context(), registry.Draining))
	a.well() // they are nobody's
	eventually(t, "that is noted", func() bool { return !a.node.owner.Unable(0) && !a.node.owner.Unable(1) })
	must(t, a.node.place.SetState(t.Context(), registry.Serving))
	a.fails(4)
	if err := a.node.owner.Health(); err != nil {
		t.Errorf("of queues that are this node's anew it says %v", err)
	}
	a.later(61 * time.Second)
	a.named([]int{0, 1})
	a.fault.Store(nil)
	a.node.waitOwned()
	a.well()
}

// TestHealthOfAQueueThatIsGone: queues that the broker does not have are named at once, for they
// do not come back by themselves.
func TestHealthOfAQueueThatIsGone(t *testing.T) {
	a := newAiling(t, nil)
	a.node.stop()
	gone := fmt.Errorf("%w: %w", chain.ErrRefused, chain.ErrNoQueue)
	a.fault.Store(&gone)
	a.node = a.start(2)
	a.named([]int{0, 1}, "gannet mend")
	a.fault.Store(nil)
	a.node.waitOwned()
	a.well()
}

// TestHealthWithoutRedis: queues that are idle are named too while their views do not answer.
func TestHealthWithoutRedis(t *testing.T) {
	a := newAiling(t, nil)
	must(t, a.node.redis.Save(t.Context()).Err())
	a.server.Kill()
	a.fails(4)
	a.later(61 * time.Second)
	a.fails(4) // each after something was found to be well
	a.named([]int{0, 1}, "does not answer")
	a.server.Start()
	a.well()
}

// TestHealthOfRefusals: a broker that takes no record is named for as long as somebody
// writes, though Redis answers.
func TestHealthOfRefusals(t *testing.T) {
	a := newAiling(t, nil)
	s := a.list[0]
	queue := s.key().Partition() % a.queues
	refused := func() {
		t.Helper()
		eventually(t, "a message is refused", func() bool {
			before := a.node.owner.Vars()["failed.broker"]
			if e, err := s.try(a.node, 1); err == nil && e.Outcome == logic.Applied {
				t.Fatal("a message is taken that the broker refused")
			}
			return a.node.owner.Vars()["failed.broker"] > before
		})
	}
	fault := chain.ErrRefused
	a.fault.Store(&fault)
	refused()
	a.later(50 * time.Second)
	refused()
	a.later(20 * time.Second)
	a.looksAt(queue)
	a.named([]int{queue}, chain.ErrRefused.Error())
	a.later(50 * time.Second) // and nobody writes
	a.well()
	refused()
	a.later(59 * time.Second)
	refused()
	a.later(2 * time.Second)
	a.named([]int{queue})
	a.fault.Store(nil)
	eventually(t, "a message is taken", func() bool {
		e, err := s.try(a.node, 1)
		return err == nil && e.Outcome == logic.Applied
	})
	if err := a.node.owner.Health(); err != nil {
		t.Errorf("of a queue into which a record was just written it says %v", err)
	}
}

// looksAt has the node look at the view of a queue.
func (a *ailing) looksAt(queue int) {
	a.t.Helper()
	eventually(a.t, "the node looks", func() bool { return a.node.owner.Look(a.t.Context(), queue) == nil })
}
