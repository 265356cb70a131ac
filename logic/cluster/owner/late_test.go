//go:build cluster

package owner_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gannet/internal/chain"
	"gannet/logic"
	"gannet/logic/cluster/owner"
	"gannet/protocol"
)

// TestSendersWaitForTransfer: where the broker soon removes what transfer has not taken,
// senders are told busy until it has. A mark whose records are gone keeps nobody waiting, nor
// does one that is only old.
func TestSendersWaitForTransfer(t *testing.T) {
	l := newLosing(t, "--save", "", "--appendonly", "no")
	l.node.stop()
	const stated = 72 * time.Hour
	var later atomic.Int64
	var mark atomic.Pointer[chain.Mark]
	began := time.Now()
	mark.Store(&chain.Beginning)
	l.tune = func(o *owner.Options) {
		o.Retention = stated
		o.Now = func() time.Time { return began.Add(time.Duration(later.Load())) }
		o.Reader = func(_ context.Context, q chain.Queue) (chain.Mark, error) { return *mark.Load(), nil }
	}
	l.node = l.start(2)
	l.node.waitOwned()
	l.talk()
	l.flush()
	s := l.list[0]
	queue := s.key().Partition() % l.queues
	id := uint64(1 << 20)
	sends := func(when string, busy bool) {
		t.Helper()
		must(t, l.node.owner.LookAtReader(queue))
		id++
		e, err := s.try(l.node, id)
		must(t, err)
		health := l.node.owner.Health()
		if busy && (e.Outcome != logic.Refused || e.Code != protocol.CodeBusy || e.RetryAfter == 0 || health == nil || !strings.Contains(health.Error(), "not pushed")) {
			t.Errorf("%s a message is %+v, and Health says %v; want busy", when, e, health)
		}
		if !busy && (e.Outcome != logic.Applied || health != nil) {
			t.Errorf("%s a message is %+v, and Health says %v; want it taken", when, e, health)
		}
	}
	sends("with a transfer that never ran", false)
	later.Store(int64(stated * 8 / 10))
	sends("with an old mark", false)
	later.Store(int64(stated * 91 / 100))
	sends("with records that are soon removed", true)
	l.memory.Age(queuesOf(l.queues)[queue], 1)
	sends("after the records are gone", false)
	mark.Store(&chain.Mark{Offset: 1, Writer: 1, Number: 2})
	sends("with later ones that are soon removed", true)
	mark.Store(&chain.Mark{Offset: int64(len(l.memory.All(queuesOf(l.queues)[queue])) - 1), Writer: 1, Number: 3})
	sends("after transfer went on", false)
	if n := l.node.owner.Vars()["late.looks"]; n != 2 {
		t.Errorf("%d looks found transfer behind, want 2", n)
	}
}
