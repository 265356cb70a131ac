//go:build cluster

package owner_test

import (
	"math/rand/v2"
	"sync"
	"testing"

	"gannet/logic"
)

// TestFillGoesOn: an emptied view comes back part after part, without a pause between two
// of them, and between any two a record of the chat has its turn.
func TestFillGoesOn(t *testing.T) {
	const strangers = 360 // at a part a second they would take two minutes
	l := newLosing(t)
	l.talk()
	var far []*sender
	for i := range uint64(strangers) {
		s := &sender{t: t, from: 1000 + 2*i, to: 1001 + 2*i, rng: rand.New(rand.NewPCG(i, i))}
		s.run(func() []*node { return []*node{l.node} }, 1)
		far = append(far, s)
	}
	l.flush()
	l.aged()
	s := l.list[0]
	var mu sync.Mutex // the queues come back beside each other
	parts := 0
	l.archive.beforeParts(func() {
		mu.Lock()
		defer mu.Unlock()
		parts++
		if parts%16 != 1 {
			return
		}
		// Its queue may still pause after it found Redis away.
		e := s.send(func() []*node { return []*node{l.node} }, uint64(len(s.seqs)+1))
		if e.Outcome != logic.Applied {
			t.Errorf("at part %d a message to a conversation in memory is %+v", parts, e)
		}
		s.seqs = append(s.seqs, e.Seq)
	})
	l.server.Kill()
	l.server.Start()
	l.node.waitOwned()
	eventually(t, "the view is taken for incomplete", func() bool { return l.node.owner.Vars()["repair.rebuilds"] > 0 })
	eventually(t, "the view is back", func() bool { return l.shown() != nil })
	mu.Lock()
	defer mu.Unlock()
	if parts < strangers/3 {
		t.Errorf("%d conversations came back in %d parts", strangers, parts)
	}
	l.list = append(l.list, far[0], far[strangers-1])
	l.whole()
}
