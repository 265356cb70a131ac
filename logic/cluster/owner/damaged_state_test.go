//go:build cluster

package owner_test

import (
	"testing"

	"gannet/internal/chain"
	"gannet/logic"
	"gannet/logic/cluster/owner"
	"gannet/logic/cluster/view"
)

// TestDamagedState: a queue whose state in Redis cannot be read waits, another one goes on, and
// what is emptied is brought back, whether its owner ran on meanwhile or is another one.
func TestDamagedState(t *testing.T) {
	for what, restarts := range map[string]bool{"the owner runs on": false, "another owner": true} {
		t.Run(what, func(t *testing.T) {
			l := newLosing(t)
			l.talk()
			l.flush()
			before := l.shown()
			l.waitFed()
			if restarts {
				l.node.stop()
			}
			queue := queuesOf(l.queues)[0]
			must(t, l.node.redis.HSet(t.Context(), "{"+l.name+"."+queue.Class.String()+".0}v", "a", "garbage").Err())
			if restarts {
				l.node = l.start(2)
				l.node.waitState(1, owner.Owned)
			}
			one := func() []*node { return []*node{l.node} }
			var waiting []*sender
			for _, s := range l.list {
				if s.key().Partition()%l.queues != queue.Number {
					s.run(one, 1)
				} else if e, _ := s.try(l.node, uint64(len(s.seqs)+1)); e.Outcome == logic.Applied {
					t.Fatalf("where the state is damaged a message is %+v", e)
				} else {
					waiting = append(waiting, s)
				}
			}
			if len(waiting) == 0 || len(waiting) == len(l.list) {
				t.Fatalf("%d of %d senders are in the queue", len(waiting), len(l.list))
			}
			v, err := view.New(l.node.redis, view.Options{Name: l.name, Queues: []chain.Queue{queue}, Counts: l.archive})
			must(t, err)
			w, err := v.Writer(queue)
			must(t, err)
			if keys, err := w.Remove(t.Context()); err != nil || keys == 0 {
				t.Fatalf("%d keys are removed, %v", keys, err)
			}
			eventually(t, "it is back", func() bool { return len(l.shown()) == len(before) })
			l.node.waitOwned()
			for _, s := range waiting { // that message too
				s.run(one, 1)
			}
			l.whole()
		})
	}
}
