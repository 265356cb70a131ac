//go:build cluster

package owner_test

import (
	"fmt"
	"testing"

	"gannet/logic/cluster/owner"
)

// TestAsksForWhatIsKept: queues were taken over while the history, which alone knew of more, did
// not answer. They are stopped soon after it does, whether less or more was written meanwhile
// than had been lost, and stay so.
func TestAsksForWhatIsKept(t *testing.T) {
	for _, rounds := range []int{0, 4} {
		t.Run(fmt.Sprint(rounds), func(t *testing.T) {
			a := newAiling(t, nil)
			a.talk()
			a.flush()
			a.waitFed()
			must(t, a.node.redis.Save(t.Context()).Err())
			older := a.lengths()
			a.talk()
			a.flush()
			a.waitFed()
			a.node.stop()
			a.server.Kill()
			for i, q := range queuesOf(a.queues) {
				a.memory.Cut(q, older[i])
			}
			a.server.Start()
			a.archive.left.Store(0)
			a.node = a.start(2)
			a.node.waitOwned()
			if n := a.node.owner.Vars()["failed.kept"]; n < uint64(a.queues) || a.lines("ClickHouse has of it, which does not say") == 0 {
				t.Errorf("%d queues were taken over without what is kept of them", n)
			}
			for id := range uint64(rounds * 5) {
				for _, s := range a.list {
					_, err := s.try(a.node, 1<<20+id)
					must(t, err)
				}
			}
			a.archive.left.Store(ever)
			for i := range a.queues {
				a.node.waitState(i, owner.Stopped)
			}
			eventually(t, "it is said why the queues are stopped", func() bool {
				return a.lines("ClickHouse has more of the queue") > 0 && a.node.owner.Health() != nil
			})
			a.staysStopped("with less than the history has", 1)
		})
	}
}

// TestKeptIsThere: a history that answers late, and has records of the new owner by then, stops
// nothing.
func TestKeptIsThere(t *testing.T) {
	a := newAiling(t, nil)
	a.talk()
	a.flush()
	a.waitFed()
	a.node.stop()
	a.archive.left.Store(0)
	a.node = a.start(2)
	a.node.waitOwned()
	a.talk()
	a.flush()
	a.archive.mu.Lock()
	clear(a.archive.asked)
	a.archive.mu.Unlock()
	a.archive.left.Store(ever)
	a.waitFed()
	eventually(t, "the history is asked", func() bool {
		a.archive.mu.Lock()
		defer a.archive.mu.Unlock()
		return len(a.archive.asked) == a.queues
	})
	a.whole()
	if err := a.node.owner.Health(); err != nil {
		t.Error(err)
	}
}
