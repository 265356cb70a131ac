//go:build cluster

package owner_test

import (
	"testing"

	"gannet/logic"
	"gannet/logic/cluster/owner"
)

// TestDamagedAmongWhatIsLost: a conversation is damaged in Redis when the broker loses what it
// had acked. Nobody makes it anew from less than there was: it stays unavailable, and no seq of
// it is given out again.
func TestDamagedAmongWhatIsLost(t *testing.T) {
	for what, damage := range damages {
		t.Run(what, func(t *testing.T) {
			b := newBereft(t)
			s := b.list[0]
			acked := b.heads()[s.key()]
			must(t, damage(b.losing, b.talkKey(s)))
			b.lose()
			b.archive.left.Store(ever)
			for i := range b.queues {
				b.node.waitState(i, owner.Owned)
			}
			eventually(t, "it is given up", func() bool {
				e, err := s.try(b.node, 1000)
				if err == nil && e.Outcome == logic.Applied && e.Seq <= acked {
					t.Fatalf("the next message has seq %d, and %d were acked", e.Seq, acked)
				}
				return b.node.owner.Vars()["repair.short"] > 0
			})
			if e, err := s.try(b.node, 1001); err == nil && e.Outcome == logic.Applied {
				t.Errorf("a message is taken with seq %d", e.Seq)
			}
		})
	}
}
