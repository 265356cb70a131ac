//go:build cluster

package owner_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"gannet/internal/chain"
	"gannet/logic/cluster/owner"
)

// closes ends the node within a time that is shorter than a try to take a queue over has.
func (a *ailing) closes() {
	a.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- a.node.owner.Close(context.Background()) }()
	select {
	case err := <-ended:
		must(a.t, err)
	case <-time.After(owner.StallTime + 20*time.Second):
		a.t.Fatal("the node does not close")
	}
}

// lengths gives how many records the queues have.
func (a *ailing) lengths() (n []int64) {
	for _, q := range queuesOf(a.queues) {
		n = append(n, int64(len(a.memory.All(q))))
	}
	return n
}

// TestRepairWithoutTheRecords: a broker lost the end of a queue, and Redis comes back older.
// The records that would bring the view forward are waited for, but not for ever, with the
// turn of the queue let go in between.
func TestRepairWithoutTheRecords(t *testing.T) {
	for name, lost := range map[string]int64{"one record": 1, "several": 3} {
		t.Run(name, func(t *testing.T) {
			a := newAiling(t, nil)
			a.talk()
			a.flush()
			must(t, a.node.redis.Save(t.Context()).Err())
			a.talk()
			a.flush()
			a.server.Kill()
			all := a.memory.Clone()
			for i, n := range a.lengths() {
				a.memory.Cut(queuesOf(a.queues)[i], n-lost)
			}
			a.server.Start()
			eventually(t, "repairs are tried", func() bool { return a.node.owner.Vars()["repair.views"] >= uint64(a.queues) })
			a.fails(2)
			a.later(61 * time.Second)
			for q := range a.queues {
				if a.node.owner.Look(t.Context(), q) == nil {
					t.Errorf("queue %d is called well, and its view is behind", q)
				}
			}
			a.fails(2)
			a.named([]int{0, 1}, "does not give", "to the mark")
			if lost > 1 {
				a.closes()
				return
			}
			for i, q := range queuesOf(a.queues) { // it was only late
				for _, body := range all.All(q)[a.lengths()[i]:] {
					a.memory.Put(q, body)
				}
			}
			a.well()
			a.whole()
		})
	}
}

// TestTakeOverWithoutWhatIsKept: broker and Redis came back older together, and the history
// alone tells that there was more. Nobody writes before that is there, or given up.
func TestTakeOverWithoutWhatIsKept(t *testing.T) {
	a := newAiling(t, nil)
	a.talk()
	a.flush()
	a.waitFed()
	a.node.stop()
	must(t, a.node.redis.Save(t.Context()).Err())
	older := a.lengths()
	a.node = a.start(2)
	a.node.waitOwned()
	a.talk()
	a.flush()
	a.waitFed()
	a.node.stop()
	a.server.Kill()
	all := a.memory.Clone()
	for i, q := range queuesOf(a.queues) {
		a.memory.Cut(q, older[i])
	}
	a.server.Start()
	a.node = a.start(3)
	a.fails(2)
	a.later(61 * time.Second)
	a.named([]int{0, 1}, "ClickHouse has more", "gannet mend")
	if now := a.lengths(); !slices.Equal(now, older) {
		t.Errorf("queues that were cut to %v records have %v", older, now)
	}
	for i, q := range queuesOf(a.queues) { // it was only late
		for _, body := range all.All(q)[older[i]:] {
			a.memory.Put(q, body)
		}
	}
	a.node.waitOwned()
	a.whole()
}

// TestTakeOverWithoutTheMark: what the view has last the broker does not have.
func TestTakeOverWithoutTheMark(t *testing.T) {
	for name, lost := range map[string]int64{"one record": 1, "several": 3} {
		t.Run(name, func(t *testing.T) {
			a := newAiling(t, nil)
			a.talk()
			a.flush()
			a.node.stop()
			for i, n := range a.lengths() {
				a.memory.Cut(queuesOf(a.queues)[i], n-lost)
			}
			before := a.lengths()
			a.node = a.start(2)
			a.fails(3)
			a.later(61 * time.Second)
			words := chain.ErrLagging.Error()
			if lost == 1 {
				words = "does not give"
			}
			a.named([]int{0, 1}, words)
			a.closes()
			if after := a.lengths(); after[0] != before[0] || after[1] != before[1] {
				t.Errorf("queues of which the end is lost had %v records and have %v", before, after)
			}
		})
	}
}
