//go:build cluster

package owner_test

import (
	"testing"
	"time"

	"gannet/internal/chain"
	"gannet/internal/operate"
	"gannet/internal/registry"
)

// gauges waits until those of a queue of the node are these.
func (a *ailing) gauges(what string, queue int, want values) {
	a.t.Helper()
	var got map[operate.QueueGauge]float64
	for deadline := time.Now().Add(patient); ; time.Sleep(5 * time.Millisecond) {
		got = map[operate.QueueGauge]float64{}
		for _, g := range a.node.owner.Gauges(a.t.Context()) {
			if g.Class == "chat" && g.Queue == queue {
				got[g.Gauge] = g.Value
			}
		}
		same := len(got) == len(want)
		for gauge, v := range want { // the clock of the test stands, and what a record says are milliseconds
			is, told := got[gauge]
			same = same && told && is >= v && is < v+0.001
		}
		if same {
			return
		}
		if time.Now().After(deadline) {
			a.t.Fatalf("%s it says %v, want %v", what, got, want)
		}
	}
}

type values = map[operate.QueueGauge]float64

// TestLagOfHistory: it is told how many records the history lacks, and how old the first is.
func TestLagOfHistory(t *testing.T) {
	a := newAiling(t, nil)
	a.talk()
	a.flush()
	s := a.list[0]
	queue := s.key().Partition() % a.queues
	well := values{operate.Unwritable: 0, operate.HistoryLagRecords: 0, operate.HistoryLag: 0}
	a.gauges("of what is all fed", queue, well)
	has, found := a.archive.Inserted(chain.Queue{Class: chain.Chat, Number: queue})
	if !found {
		t.Fatal("the history has nothing")
	}
	a.archive.left.Store(0)
	a.later(time.Minute)
	a.gauges("of a history that never said what it has", queue, values{operate.Unwritable: 0, operate.HistoryLag: 60})
	a.archive.full.Store(true)
	a.archive.left.Store(ever)
	nodes := func() []*node { return []*node{a.node} }
	s.run(nodes, 1)
	a.later(20 * time.Second)
	s.run(nodes, 2)
	a.flush()
	behind := float64(a.node.owner.ViewMark(queue).Offset - has.Offset)
	if behind < 3 {
		t.Fatalf("there are %v more records", behind)
	}
	a.later(10 * time.Second)
	a.gauges("of a history that takes nothing", queue, values{operate.Unwritable: 0, operate.HistoryLagRecords: behind, operate.HistoryLag: 30})
	a.archive.full.Store(false)
	a.gauges("of what is all fed", queue, well)
	a.node.stop()
	if list := a.node.owner.Gauges(t.Context()); len(list) != 0 {
		t.Errorf("of queues that are nobody's it says %v", list)
	}
}

// TestUnwritable: it is told for how long nothing can be written into a queue, one that is
// stopped, too.
func TestUnwritable(t *testing.T) {
	a := newAiling(t, nil)
	a.node.stop()
	a.fault.Store(&errNoAnswer)
	a.node = a.start(2)
	a.fails(2)
	a.later(50 * time.Second)
	a.gauges("of a queue that cannot be taken over", 0, values{operate.Unwritable: 50})
	must(t, a.node.place.SetState(t.Context(), registry.Draining))
	eventually(t, "nothing is told of what is nobody's", func() bool { return len(a.node.owner.Gauges(t.Context())) == 0 })
	must(t, a.node.place.SetState(t.Context(), registry.Serving))
	a.fault.Store(nil)
	a.node.waitOwned()
	a.gauges("of one that is", 0, values{operate.Unwritable: 0, operate.HistoryLagRecords: 0, operate.HistoryLag: 0})
	a.node.stop()
	behind := queuesOf(a.queues)[0]
	a.memory.Put(behind, []byte("gone, and nobody knows what it was"))
	a.memory.Age(behind, int64(len(a.memory.All(behind))))
	a.node = a.start(3)
	eventually(t, "it is stopped", func() bool { return a.node.owner.Vars()["state.stopped"] == 1 })
	a.later(70 * time.Second)
	a.gauges("of a queue that is stopped", 0, values{operate.Unwritable: 70})
	a.gauges("of the other", 1, values{operate.Unwritable: 0, operate.HistoryLagRecords: 0, operate.HistoryLag: 0})
}
