package ledger_test

import (
	"context"
	"errors"
	"testing"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

func TestConversationThatCannotBeReadHindersNoOther(t *testing.T) {
	d := newDesk(t, 2, 64)
	other := ann.in(key{Kind: 2, A: 5})
	d.do(ann.send(1), other.send(1))
	d.evict()
	d.writeAcks()
	d.evict()
	d.store.failTalks = map[key]bool{pair: true}
	e := d.do(ann.send(2), other.send(2), ann.ack(1), other.send(2), bob.reads(1))
	for _, i := range []int{0, 2, 4} {
		d.wantOutcome(e[i], logic.Unknown)
	}
	d.wantNew(e[1], 2)
	d.wantRepeated(e[3], e[1])
	err := d.View(context.Background(), pair, func(ledger.View) { t.Error("something is shown") })
	if !errors.Is(err, errInjected) {
		t.Fatalf("View gives %v", err)
	}
	d.store.failTalks = nil
	d.wantNew(d.do(ann.send(2))[0], 2)
}

func TestNothingIsDoneWhenNothingCanBeRead(t *testing.T) {
	d := newDesk(t, 64, 64)
	first := d.do(bob.send(1))[0]
	d.Forget()
	for _, retry := range []bool{false, true} {
		if retry {
			d.do(bob.ack(0)) // loaded, but not the device's window
		}
		d.store.fail = true
		e, err := d.tryApply(false, ann.send(1), bob.send(1), ann.ack(1))
		if !errors.Is(err, errInjected) {
			t.Fatalf("Apply gives %v", err)
		}
		for i := range e {
			d.wantOutcome(e[i], logic.Unknown)
		}
		d.store.fail = false
		d.want(ann, state{head: 1, unread: 1, counted: true})
	}
	e := d.do(ann.send(1), bob.send(1), ann.ack(2))
	d.wantNew(e[0], 2)
	d.wantRepeated(e[1], first)
	d.want(ann, state{head: 2, delivered: 2, acked: 2, unread: 1, counted: true})
}

func TestRetryThatCannotBeJudgedIsUnknown(t *testing.T) {
	d := newDesk(t, 64, 64)
	first := d.do(ann.sends(1, 3)...)
	d.Forget()
	d.apply(ann.send(2))
	d.finish()
	d.store.failDevices = map[origin]bool{ann: true}
	d.recall()
	d.store.failDevices = nil
	e := d.apply(ann.send(2), ann.send(4), ann.send(4), bob.send(1), bob.send(1), ann.send(1))
	d.wantOutcome(e[0], logic.Unknown)
	d.wantNew(e[1], 4)
	d.wantRepeated(e[2], e[1])
	d.wantNew(e[3], 5)
	d.wantRepeated(e[4], e[3])
	d.wantOutcome(e[5], logic.Unknown)
	d.finish()
	again := d.do(ann.send(2), ann.send(4))
	d.wantRepeated(again[0], first[1])
	d.wantRepeated(again[1], e[1])
}

// TestPanicOfTheSourceLeavesNothingBehind has a source that breaks down while a record
// is loaded, and while a window is read; its caller recovers.
func TestPanicOfTheSourceLeavesNothingBehind(t *testing.T) {
	d := newDesk(t, 64, 64)
	first := d.do(ann.sends(1, 3)...)
	d.Forget()
	fire := func() { panic("the disk is on fire") }
	d.panics(func() {
		d.store.before = fire
		d.apply(ann.send(4), ann.send(2))
	})
	d.store.before = nil
	d.apply(ann.send(2))
	d.finish()
	d.panics(func() {
		d.store.before = fire
		d.Recall(t.Context())
	})
	d.store.before = nil
	d.wantOutcome(d.apply(ann.send(2))[0], logic.Unknown)
	d.finish()
	e := d.do(ann.send(2), ann.send(4))
	d.wantRepeated(e[0], first[1])
	d.wantNew(e[1], 4)
}

// TestPanicOfABatchLeavesNothingBehind has an entry whose frame is not there.
func TestPanicOfABatchLeavesNothingBehind(t *testing.T) {
	d := newDesk(t, 64, 64)
	d.do(bob.send(1))
	d.panics(func() {
		b := batchOf([]ask{ann.ack(1), ann.send(1), ann.reads(9), bob.send(2)})
		b.Entries[3].Frame = hop.Span{Start: 1000, End: 2000}
		_, _ = d.Apply(context.Background(), ledger.Input{Batches: []*logic.Batch{b}, Stamp: 7, Now: d.now})
	})
	d.want(ann, state{head: 1, unread: 1, counted: true})
	e := d.do(ann.ack(1), ann.send(1), bob.send(2))
	d.wantNew(e[1], 2)
	d.wantNew(e[2], 3)
	d.want(ann, state{head: 3, delivered: 2, acked: 2, unread: 2, counted: true})
}

// panics has work panic and undoes the batch, as the embedded store does.
func (d *desk) panics(work func()) {
	d.t.Helper()
	defer func() {
		if recover() == nil {
			d.t.Fatal("nothing panicked")
		}
		d.Abandon() // which is nothing when no batch is under way
	}()
	work()
}

func TestEntriesOfAnotherQueueAreLeftAlone(t *testing.T) {
	for queue := range 2 {
		l := ledger.New(ledger.Options{Queue: queue, Queues: 2}, newStore(1))
		mine := 0
		for i := range uint64(50) {
			k := key{Kind: 2, A: i}
			b := batchOf([]ask{ann.in(k).send(1), ann.in(k).ack(1), ann.in(k).reads(1)})
			change, err := l.Apply(context.Background(), ledger.Input{Batches: []*logic.Batch{b}, Stamp: i + 1, Now: 1})
			if err != nil {
				t.Fatal(err)
			}
			want := logic.Unknown
			if k.Partition()%2 == queue {
				want, mine = logic.Applied, mine+1
			}
			if e := b.Entries; e[0].Outcome != want || e[2].Outcome != want || change.Empty() != (want == logic.Unknown) {
				t.Fatalf("queue %d of 2, partition %d: outcomes %d and %d, want %d", queue, k.Partition(), e[0].Outcome, e[2].Outcome, want)
			}
			l.Settle()
		}
		if mine == 0 || mine == 50 {
			t.Fatalf("queue %d has %d of 50 conversations", queue, mine)
		}
	}
}

// TestReaderThatLoadsStaysBehindABatch has a batch begin, and be written, while a
// reader loads its conversation: what it loaded is ahead of what is settled.
func TestReaderThatLoadsStaysBehindABatch(t *testing.T) {
	d := newDesk(t, 2, 64)
	d.do(bob.send(1))
	d.Forget()
	began := false
	d.store.before = func() {
		if !began {
			began = true
			d.apply(bob.send(2), ann.reads(2))
			d.store.commit(d.change)
		}
	}
	d.want(ann, state{head: 1, unread: 1, counted: true})
	d.store.before = nil
	if !began {
		t.Fatal("the reader loaded nothing")
	}
	d.Settle()
	d.want(ann, state{head: 2, delivered: 2, read: 2, counted: true})
}

// What is dropped is loaded again as it was written, and nothing else is.
func TestDrop(t *testing.T) {
	d := newDesk(t, 64, 64)
	other := ann.in(key{Kind: 2, A: 5})
	d.do(ann.send(1), other.send(1), bob.ack(1), other.ack(1))
	d.writeAcks()
	d.do(ann.send(2), bob.ack(2)) // which waits
	d.Drop([]protocol.Conversation{pair})
	if d.Due(d.now, true) {
		t.Error("an ack waits of what was dropped")
	}
	d.store.failTalks = map[key]bool{pair: true, other.key: true}
	e := d.do(ann.send(3), other.send(2))
	d.wantOutcome(e[0], logic.Unknown)
	d.wantNew(e[1], 2)
	d.store.failTalks = nil
	d.want(bob, state{head: 2, delivered: 1, acked: 1, unread: 2, counted: true})
	d.wantNew(d.do(ann.send(3))[0], 3)
}
