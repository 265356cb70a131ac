//go:build cluster

package owner_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/internal/registry"
	"gannet/logic"
	"gannet/logic/cluster/owner"
	"gannet/protocol"
)

// deaf is a broker that can be away: what is sent is refused without a word (gone), or is
// there and nobody hears of it (deaf).
type deaf struct {
	chain.Stream
	gone, deaf atomic.Bool
	heard      atomic.Int64 // appends
}

func (d *deaf) Append(ctx context.Context, q chain.Queue, body []byte) (int64, error) {
	d.heard.Add(1)
	if d.gone.Load() {
		return 0, errShaky
	}
	at, err := d.Stream.Append(ctx, q, body)
	if d.deaf.Load() {
		return 0, errShaky
	}
	return at, err
}

// newDeaf is newLosing over such a broker. No ack is due by itself, because the clock stands.
func newDeaf(t *testing.T) (*losing, *deaf) {
	var d *deaf
	still := time.Now()
	l := newLosingWith(t, func(l *losing) {
		l.tune = func(o *owner.Options) { o.Now = func() time.Time { return still } }
		d = &deaf{Stream: l.memory}
		l.stream = d
	})
	return l, d
}

// ackOf has a device ack.
func (l *losing) ackOf(s *sender, device, seq uint64) {
	l.t.Helper()
	b := &logic.Batch{Queue: s.key().Partition() % l.queues, Entries: []logic.Entry{{
		Op: hop.OpAck, Conversation: s.key(), User: s.from, Device: device, Seq: seq,
	}}}
	must(l.t, l.node.owner.Apply(l.t.Context(), []*logic.Batch{b}))
	if must(l.t, b.Err); b.Entries[0].Outcome != logic.Applied {
		l.t.Fatalf("an ack is %+v", b.Entries[0])
	}
}

// TestDoubt: the broker goes away with a record of which nobody knows whether it is there.
// When it is back that is known, and acks that waited in memory are not lost.
func TestDoubt(t *testing.T) {
	for name, there := range map[string]bool{"the record is there": true, "it is not": false} {
		t.Run(name, func(t *testing.T) {
			l, d := newDeaf(t)
			l.talk()
			l.flush()
			s := l.list[0]
			queue := s.key().Partition() % l.queues
			if d.deaf.Store(there); !there {
				d.gone.Store(true)
			}
			l.ackOf(s, 77, 2)
			id := uint64(len(s.seqs) + 1)
			if e, err := s.try(l.node, id); err == nil && e.Outcome != logic.Unknown {
				t.Fatalf("without a broker a message is %+v", e)
			}
			d.gone.Store(true)
			l.node.waitState(queue, owner.Doubtful)
			if e, err := s.try(l.node, id+1); err == nil || !errors.Is(err, logic.ErrUnavailable) {
				t.Fatalf("without a broker a message is %+v, %v", e, err)
			}
			if _, err := l.node.owner.Recent(t.Context(), s.key(), 0, 100); err != nil {
				t.Errorf("what is in memory is not shown: %v", err)
			}
			d.deaf.Store(false)
			d.gone.Store(false)
			l.node.waitState(queue, owner.Owned)
			if v := l.node.owner.Vars(); v["doubt.records"] == 0 || v["lost.queues"] > 0 || v["queues.taken"] != uint64(l.queues) {
				t.Errorf("a doubt was not resolved in place: %v", v)
			}
			e, err := s.try(l.node, id)
			if err != nil || e.Seq != 11 || e.Outcome != logic.Repeated {
				t.Fatalf("sent again it is %+v, %v", e, err)
			}
			s.seqs = append(s.seqs, e.Seq)
			page, err := l.node.inbox.Changed(t.Context(), logic.InboxQuery{User: s.from, Device: 77, Limit: 1, Room: 1 << 20})
			if must(t, err); len(page.States) != 1 || page.States[0].Acked != 2 {
				t.Errorf("an ack that waited is lost: %+v", page.States)
			}
			l.whole()
		})
	}
}

// TestRefusedByBroker: what the broker did not take was never sent, and nobody is in doubt.
func TestRefusedByBroker(t *testing.T) {
	r := &refusing{}
	l := newLosingWith(t, func(l *losing) {
		r.Stream = l.memory
		l.stream = r
	})
	l.talk()
	r.all.Store(true)
	s := l.list[0]
	if e, err := s.try(l.node, 6); !errors.Is(err, chain.ErrRefused) || !errors.Is(err, logic.ErrUnavailable) || e.Outcome != logic.Unknown {
		t.Fatalf("what the broker refuses is %+v, %v", e, err)
	}
	if v := l.node.owner.Vars(); v["doubt.records"] > 0 {
		t.Errorf("what was refused is in doubt: %v", v)
	}
	r.all.Store(false)
	l.whole()
}

type refusing struct {
	chain.Stream
	all atomic.Bool
}

func (r *refusing) Append(ctx context.Context, q chain.Queue, body []byte) (int64, error) {
	if r.all.Load() {
		return 0, chain.ErrRefused
	}
	return r.Stream.Append(ctx, q, body)
}

// TestRefresh: an idle queue gets an empty record an hour after its last one, and its view and
// the history come along, whose mark would lie behind retention some day.
func TestRefresh(t *testing.T) {
	var now atomic.Int64
	now.Store(1_700_000_000_000)
	l := newLosingWith(t, func(l *losing) {
		l.tune = func(o *owner.Options) { o.Now = func() time.Time { return time.UnixMilli(now.Load()) } }
	})
	l.talk()
	l.flush()
	l.waitFed()
	before := l.node.owner.ViewMark(0)
	must(t, l.node.owner.Look(t.Context(), 0))
	if got := l.node.owner.ViewMark(0); got != before {
		t.Fatalf("a young queue was refreshed: %v, was %v", got, before)
	}
	now.Add(2 * 3600_000)
	must(t, l.node.owner.Look(t.Context(), 0))
	if got := l.node.owner.ViewMark(0); got.Offset != before.Offset+1 || got.Writer != before.Writer {
		t.Fatalf("an hour later the view is at %v, was at %v", got, before)
	} else if has, _ := l.archive.Inserted(queuesOf(l.queues)[0]); has != got {
		t.Fatalf("an hour later the history is at %v, the view at %v", has, got)
	}
	l.whole()
}

// TestStoodStill: a node that stood still shows nothing from memory before it knows that
// the queue is still its own.
func TestStoodStill(t *testing.T) {
	l := newLosing(t)
	l.talk()
	s := l.list[0]
	release := l.node.owner.Hold()
	_, err := l.node.owner.Recent(t.Context(), s.key(), 0, 100)
	must(t, err)
	l.node.owner.StoodStill()
	if _, err := l.node.owner.Recent(t.Context(), s.key(), 0, 100); !errors.Is(err, logic.ErrUnavailable) {
		t.Errorf("after it stood still it says %v", err)
	}
	release()
	eventually(t, "it knows again", func() bool {
		r, err := l.node.owner.Recent(t.Context(), s.key(), 0, 100)
		return err == nil && r.Head == 10
	})
}

// acked gives how far a device has acked as the view alone says.
func (l *losing) acked(s *sender, device uint64) uint64 {
	l.t.Helper()
	page, err := l.node.inbox.View.Changed(l.t.Context(), logic.InboxQuery{User: s.from, Device: device, Limit: 1, Room: 1 << 20})
	if must(l.t, err); len(page.States) != 1 {
		l.t.Fatalf("there is %+v", page.States)
	}
	return page.States[0].Acked
}

// TestLetGo: acks that wait are written when the registry gives a queue to somebody else,
// and none waits at a node that drains.
func TestLetGo(t *testing.T) {
	l := newLosing(t)
	l.talk()
	s := l.list[0]
	l.ackOf(s, 70, 3)
	must(t, l.node.place.SetState(t.Context(), registry.Draining))
	for i := range l.queues {
		l.node.waitState(i, owner.Unowned)
	}
	if got := l.acked(s, 70); got != 3 {
		t.Errorf("a queue was let go, and of an ack of 3 the view has %d", got)
	}
	if _, err := s.try(l.node, 6); !errors.Is(err, owner.ErrElsewhere) {
		t.Errorf("a message to a queue that was let go ends with %v", err)
	}
	l.node = l.start(2)
	l.node.waitOwned()
	must(t, l.node.owner.Drain(t.Context()))
	l.ackOf(s, 71, 4)
	if got := l.acked(s, 71); got != 4 {
		t.Errorf("a node drains, and of an ack of 4 the view has %d", got)
	}
}

// TestFedAgain: a history that lost everything is fed again, though nobody sends.
func TestFedAgain(t *testing.T) {
	l := newTalked(t)
	l.waitFed()
	a := l.archive
	a.mu.Lock()
	all := len(a.talks)
	clear(a.talks)
	clear(a.states)
	clear(a.marks)
	a.mu.Unlock()
	for _, q := range queuesOf(l.queues) {
		l.node.owner.FeedAgain(q, chain.Beginning)
	}
	l.node.owner.FeedAgain(chain.Queue{Class: chain.System}, chain.Beginning)
	l.waitFed()
	a.mu.Lock()
	if len(a.talks) != all || a.again == 0 {
		t.Errorf("%d conversations of %d were fed again, from %d records", len(a.talks), all, a.again)
	}
	a.mu.Unlock()
	l.whole()
}

// TestIncompleteBehind: a view that is not whole is taken over with records that it lacks,
// some of conversations that are not back. They come back as of those records.
func TestIncompleteBehind(t *testing.T) {
	for what, dies := range map[string]bool{"the next owner": false, "the one after it": true} {
		t.Run(what, func(t *testing.T) { incompleteBehind(t, dies) })
	}
}

func incompleteBehind(t *testing.T, dies bool) {
	l := newTalked(t)
	l.aged()
	l.archive.busy.Store(true)
	l.server.Kill()
	l.server.Start()
	eventually(t, "the view is taken for incomplete", func() bool { return l.node.owner.Vars()["repair.rebuilds"] >= uint64(l.queues) })
	l.talk() // all are in memory, so the view has a part of each
	l.node.stop()
	// Somebody writes a record to each queue and dies before the view has it.
	for i, s := range l.list {
		q := chain.Queue{Class: chain.Chat, Number: s.key().Partition() % l.queues}
		w := chain.NewWriter(chain.Options{
			Stream: l.stream, Queue: q, Registry: func() uint64 { return l.registry.View().Version },
			Take: func(*chain.Record) error { return nil },
		}, lastOf(t, l, q))
		_, err := w.TakeOver(t.Context())
		must(t, err)
		seq := uint64(21 + i%2)
		m := protocol.Message{
			Target: protocol.Target{Kind: protocol.KindDirect, ID: s.to}, Seq: seq, Time: 1_900_000_000_000, Sender: s.from, Device: 1,
			ClientID: 11, Content: protocol.ContentText, Body: []byte("last words"),
		}
		r := hop.Record{Blob: m.AppendFrame(nil)}
		r.Entries = []hop.RecordEntry{{
			Op: hop.OpMessage, Conversation: s.key(), User: s.from, Device: 1, Seq: seq, N: seq, Own: 11, Frame: hop.Span{End: uint32(len(r.Blob))},
		}}
		_, err = w.Append(t.Context(), r.AppendEntries(nil))
		must(t, err)
		s.seqs = append(s.seqs, seq)
	}
	if dies { // what the next owner left out of its replay nobody remembers then, but Redis
		l.node = l.start(3)
		l.node.waitOwned()
		l.node.stop()
	}
	l.archive.busy.Store(false)
	l.node = l.start(4)
	eventually(t, "the view is back", func() bool { return l.shown() != nil })
	for _, states := range l.shown() {
		if len(states) != 1 || states[0].Head != 22 || states[0].LastSize != 10 {
			t.Errorf("back there is %+v", states)
		}
	}
	l.whole()
}

// lastOf gives the mark of the last record of a queue that counts.
func lastOf(t *testing.T, l *losing, q chain.Queue) chain.Mark {
	f := chain.NewFollower(q, chain.Beginning)
	for offset, body := range l.memory.All(q) {
		_, _, err := f.Feed(int64(offset), body)
		must(t, err)
	}
	return f.Last()
}
