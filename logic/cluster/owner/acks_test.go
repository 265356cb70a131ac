//go:build cluster

package owner_test

import (
	"testing"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/logic/cluster/owner"
)

// TestManyAcksAtAStop: of acks that wait as many go into a record as it has room for, and a
// node that drains writes all of them, however many records that takes.
func TestManyAcksAtAStop(t *testing.T) {
	const devices = 50 // of each user, and one ack a record: a queue has a hundred records of acks
	l := newLosingWith(t, func(l *losing) {
		l.tune = func(o *owner.Options) { o.Record = chain.HeadSize + 64 }
	})
	l.talk()
	l.flush()
	for _, s := range l.list {
		for d := range uint64(devices) {
			l.ackOf(s, 100+d, 3)
		}
	}
	must(t, l.node.owner.Drain(t.Context()))
	for _, s := range l.list {
		for d := range uint64(devices) {
			if got := l.acked(s, 100+d); got != 3 {
				t.Fatalf("a node has drained, and of an ack of 3 by device %d of %d the view has %d", d, s.from, got)
			}
		}
	}
	acks := 0
	for _, q := range queuesOf(l.queues) {
		_, end, err := l.memory.Bounds(t.Context(), q)
		must(t, err)
		must(t, chain.NewReader(l.memory, q, chain.Beginning).ReadTo(t.Context(), end, func(c *chain.Record) error {
			var r hop.Record
			must(t, c.Hop(&r))
			n := 0
			for _, e := range r.Entries {
				if e.Op == hop.OpAck {
					n++
				}
			}
			if acks += n; n > 1 {
				t.Errorf("a record has %d acks, and room for one", n)
			}
			return nil
		}))
	}
	if want := devices * len(l.list); acks < want {
		t.Errorf("the queues have %d acks of %d", acks, want)
	}
}
