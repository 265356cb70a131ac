//go:build cluster

package owner_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"gannet/internal/chain"
	"gannet/internal/chain/chaintest"
	"gannet/logic/cluster/owner"
)

// restore has the queues have the first records, but for the last ones, of those of another
// broker.
func (l *losing) restore(from *chaintest.Memory, but int) {
	for _, q := range queuesOf(l.queues) {
		all := from.All(q)
		l.memory.Cut(q, 0)
		for _, body := range all[:len(all)-but] {
			l.memory.Put(q, body)
		}
	}
}

// staysStopped sees that queues are stopped, and that nothing is appended to them while they
// are looked at some times.
func (l *losing) staysStopped(when string, looks int) {
	l.t.Helper()
	lengths := func() (n []int) {
		for i, q := range queuesOf(l.queues) {
			l.node.waitState(i, owner.Stopped)
			n = append(n, len(l.memory.All(q)))
		}
		return n
	}
	before := lengths()
	for end := time.Now().Add(time.Duration(looks)*owner.MendPause + time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for i := range l.queues {
			if s := l.node.owner.State(i); s != owner.Stopped {
				l.t.Fatalf("%s queue %d is %v", when, i, s)
			}
		}
	}
	if after := lengths(); !slices.Equal(before, after) {
		l.t.Fatalf("%s the queues had %v records and have %v", when, before, after)
	}
}

// TestGoesOnWithWhatIsBack: queues are stopped because the broker lost what it had acked. They
// go on by themselves when all of it is there again, and not before, whatever else is there.
func TestGoesOnWithWhatIsBack(t *testing.T) {
	b := newBereft(t)
	for _, s := range b.list {
		eventually(t, "the queue is stopped", func() bool {
			_, err := s.try(b.node, 1000)
			return errors.Is(err, owner.ErrStopped)
		})
	}
	b.staysStopped("without the records", 1)
	for i, q := range queuesOf(b.queues) {
		for len(b.memory.All(q)) < len(b.all.All(q))+3 {
			b.memory.Put(q, []byte("no record"))
		}
		b.node.waitState(i, owner.Stopped)
	}
	b.staysStopped("with others at their place", 2)
	b.restore(b.all, 1)
	b.staysStopped("with all but one", 1)
	b.archive.takesAll()
	b.restore(b.all, 0)
	b.node.waitOwned()
	b.goesOn()
	b.archive.left.Store(ever)
	b.waitFed()
	b.check([]*node{b.node}, b.list)
	if err := b.node.owner.Health(); err != nil {
		t.Error(err)
	}
}

// TestWaitsForWhatItHadAcked: Redis came back older, and the broker has others in place of the
// records that would bring it forward. What Redis has fits to them, and nobody but the node
// that acked the lost ones knows that there were any: it goes on with nothing else.
func TestWaitsForWhatItHadAcked(t *testing.T) {
	a := newAiling(t, nil)
	a.talk()
	a.flush()
	a.waitFed()
	a.archive.left.Store(0)
	must(t, a.node.redis.Save(t.Context()).Err())
	older := []chain.Mark{a.node.owner.ViewMark(0), a.node.owner.ViewMark(1)}
	a.talk()
	a.flush()
	a.server.Kill()
	all := a.memory.Clone()
	for i, q := range queuesOf(a.queues) {
		a.memory.Cut(q, older[i].Offset+1)
		w := chain.NewWriter(chain.Options{
			Stream: a.memory, Queue: q, Registry: func() uint64 { return a.registry.View().Version }, Take: func(*chain.Record) error { return nil },
		}, older[i])
		for len(a.memory.All(q)) < len(all.All(q))+3 {
			_, err := w.TakeOver(t.Context())
			must(t, err)
		}
	}
	a.server.Start()
	a.staysStopped("with others in place of what was acked", 2)
	a.restore(all, 0)
	a.node.waitOwned()
	a.archive.left.Store(ever)
	a.waitFed()
	a.talk()
	a.check([]*node{a.node}, a.list)
}
