//go:build cluster

package owner_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/logic"
	"gannet/logic/cluster/owner"
	"gannet/protocol"
)

// TestSendersWaitForTransfer: where the broker soon removes what transfer has not taken,
// senders are told busy until it has. Acks and READs are taken all the time. A mark whose records
// are gone keeps nobody waiting, nor does one that is only old.
func TestSendersWaitForTransfer(t *testing.T) {
	l := newLosing(t)
	l.node.stop()
	const stated = 72 * time.Hour
	var later atomic.Int64
	var looking atomic.Bool // only the looks of the test find something
	var mark atomic.Pointer[chain.Mark]
	began := time.Now()
	mark.Store(&chain.Beginning)
	l.tune = func(o *owner.Options) {
		o.Retention = stated
		o.Now = func() time.Time { return began.Add(time.Duration(later.Load())) }
		o.Reader = func(_ context.Context, q chain.Queue) (chain.Mark, error) {
			if !looking.Load() {
				return chain.Beginning, errNoAnswer
			}
			return *mark.Load(), nil
		}
	}
	l.node = l.start(2)
	l.node.waitOwned()
	l.talk()
	l.flush()
	s := l.list[0]
	queue := s.key().Partition() % l.queues
	id, more := uint64(1<<20), 0
	sends := func(when string, busy bool) {
		t.Helper()
		looking.Store(true)
		must(t, l.node.owner.LookAtReader(queue))
		looking.Store(false)
		id++
		e, err := s.try(l.node, id)
		must(t, err)
		health := l.node.owner.Health()
		more++
		all := s.amid(l.node, more)
		if all[0].Outcome != logic.Applied || all[2].Outcome != logic.Applied || all[2].Read != uint64(3+more) {
			t.Errorf("%s an ack and a READ are %+v", when, all)
		}
		if got := all[1]; busy && (got.Outcome != logic.Refused || got.Code != protocol.CodeBusy) || !busy && got.Outcome != logic.Applied {
			t.Errorf("%s a message between them is %+v", when, got)
		}
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

// amid sends a message of client id 2^30 + n between an ack and a READ, in one batch.
func (s *sender) amid(n *node, more int) []logic.Entry {
	s.t.Helper()
	id := uint64(1<<30 + more)
	m := protocol.Message{
		Target: protocol.Target{Kind: protocol.KindDirect, ID: s.to}, Sender: s.from, Device: 1, ClientID: id, Content: protocol.ContentText, Body: []byte("amid"),
	}
	b := &logic.Batch{Queue: s.key().Partition() % n.world.queues, Blob: m.AppendFrame(nil)}
	b.Entries = []logic.Entry{
		{Op: hop.OpAck, Conversation: s.key(), User: s.to, Device: uint64(100 + more), Seq: 1},
		{Op: hop.OpMessage, Conversation: s.key(), User: s.from, Device: 1, ClientID: id, Frame: hop.Span{End: uint32(len(b.Blob))}},
		{Op: hop.OpRead, Conversation: s.key(), User: s.to, Device: 1, Seq: uint64(3 + more)},
	}
	must(s.t, n.owner.Apply(s.t.Context(), []*logic.Batch{b}))
	must(s.t, b.Err)
	return b.Entries
}

// TestLooksSoon: transfer's mark is looked at soon after queues were taken over, and at a share
// of the time for which the broker keeps records.
func TestLooksSoon(t *testing.T) {
	l := newLosing(t, "--save", "", "--appendonly", "no")
	l.node.stop()
	var looks atomic.Int64
	l.tune = func(o *owner.Options) {
		o.Retention = time.Minute
		o.Reader = func(context.Context, chain.Queue) (chain.Mark, error) { looks.Add(1); return chain.Beginning, nil }
	}
	began := time.Now()
	l.node = l.start(2)
	l.node.waitOwned()
	eventually(t, "each queue is looked at twice", func() bool { return looks.Load() >= 2*int64(l.queues) })
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("that took %v", took)
	}
	l.node.stop()
	l.tune = func(o *owner.Options) {
		o.Retention = 72 * time.Hour
		o.Reader = func(context.Context, chain.Queue) (chain.Mark, error) { looks.Add(1); return chain.Beginning, nil }
	}
	began = time.Now()
	looks.Store(0)
	l.node = l.start(3)
	l.node.waitOwned()
	eventually(t, "each queue is looked at", func() bool { return looks.Load() >= int64(l.queues) })
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("that took %v", took)
	}
	for stated, want := range map[time.Duration]time.Duration{72 * time.Hour: time.Hour, 10 * time.Hour: 15 * time.Minute, time.Minute: 5 * time.Second} {
		if got := owner.RetentionPause(stated); got != want {
			t.Errorf("of a broker that keeps records for %v it looks every %v", stated, got)
		}
	}
}
