//go:build cluster

package owner_test

import (
	"strings"
	"testing"

	"gannet/logic"
)

// TestFeederStands: the broker lost records that the history does not have yet, and has as many
// others in their place, so that the owner, which appends exactly where it expects to, does not
// notice. Nobody who reads from before comes past that: it is said, and ends when it is given up.
func TestFeederStands(t *testing.T) {
	a := newAiling(t, nil)
	a.talk()
	a.flush()
	a.waitFed()
	a.archive.left.Store(0)
	older := a.lengths()
	for range 4 { // more than one pull brings
		a.talk()
	}
	a.flush()
	release := a.node.owner.Hold()
	for i, q := range queuesOf(a.queues) {
		n := len(a.memory.All(q))
		a.memory.Cut(q, older[i])
		for len(a.memory.All(q)) < n {
			a.memory.Put(q, []byte("no record"))
		}
	}
	release()
	b := &bereft{losing: a.losing}
	for _, s := range a.list {
		e, err := s.try(a.node, uint64(len(s.seqs)+1))
		if err != nil || e.Outcome != logic.Applied {
			t.Fatalf("the next message is %+v, %v", e, err)
		}
		s.seqs = append(s.seqs, e.Seq)
	}
	a.archive.left.Store(ever)
	eventually(t, "it is said", func() bool {
		err := a.node.owner.Health()
		return err != nil && strings.Contains(err.Error(), "chat queue 0 is not fed") && strings.Contains(err.Error(), "chat queue 1 is not fed") && strings.Contains(err.Error(), "gannet mend")
	})
	eventually(t, "it is counted and logged", func() bool {
		return a.node.owner.Vars()["stuck.feeds"] > 0 && a.lines("a human has to look") > 0
	})
	b.lose()
	a.archive.mu.Lock()
	for key, head := range b.heads() {
		a.archive.given[key] = head
	}
	a.archive.mu.Unlock()
	b.goesOn()
	a.archive.mu.Lock() // as gannet mend does, when it is all written
	for i, q := range queuesOf(a.queues) {
		a.archive.marks[q] = b.given[i].Mark()
	}
	a.archive.mu.Unlock()
	b.waitFed()
	a.well()
}
