package ledger_test

import (
	"testing"
)

func TestAckAloneNeedsNoCommit(t *testing.T) {
	for _, checkpoint := range []uint64{1, 64} {
		d := newDesk(t, 64, checkpoint)
		d.do(bob.sends(1, 5)...)
		d.writeAcks()
		e := d.apply(ann.ack(4))
		if !d.change.Empty() {
			t.Fatalf("an ack is written at once: %+v", d.change)
		}
		if e[0].Delivered != 4 || !e[0].Rose {
			t.Fatalf("the ack gives %+v", e[0])
		}
		d.want(ann, state{head: 5, unread: 5, counted: true})
		d.Settle()
		d.want(ann, state{head: 5, delivered: 4, acked: 4, unread: 5, counted: true})
	}
}

func TestAcksAreWrittenWithinASecond(t *testing.T) {
	d := newDesk(t, 64, 64)
	d.do(bob.sends(1, 5)...)
	d.writeAcks()
	for i := range uint64(4) {
		d.do(ann.ack(i + 1))
		if !d.change.Empty() {
			t.Fatalf("ack %d is written after %d ms", i+1, 280*i)
		}
		d.now += 280
	}
	if !d.Due(d.now, false) {
		t.Fatal("after 1.1 seconds no ack is due")
	}
	d.do()
	if len(d.change.Devices) != 2 || d.change.Devices[0].Acked != 4 { // bob's has messages since
		t.Fatalf("after a second the devices written are %+v, want that of ann with 4", d.change.Devices)
	}
	if d.Due(d.now, true) {
		t.Fatal("an ack that is written waits still")
	}
	d.Forget()
	if got := d.see(ann); got.acked != 4 || got.delivered != 4 {
		t.Fatalf("what was written is forgotten: %+v", got)
	}
}

func TestAllAcksAreWrittenWhenAsked(t *testing.T) {
	const n = 1000 // more than one record takes along by itself
	d := newDesk(t, 2, 64)
	room := func(i uint64) lane { return annTwo.in(key{Kind: 2, A: i}) }
	for i := range uint64(n) {
		d.do(bob.in(room(i).key).send(1), bob.in(room(i).key).send(2))
	}
	d.writeAcks()
	for i := range uint64(n) {
		d.do(room(i).ack(2))
	}
	if !d.Due(d.now, true) || d.Due(d.now, false) {
		t.Fatal("acks wait, and none is due yet")
	}
	if d.writeAcks(); len(d.change.Conversations) != n {
		t.Fatalf("acks of %d conversations are written, want those of all %d", len(d.change.Conversations), n)
	}
	d.Forget()
	for i := range uint64(n) {
		if got := d.seeIn(room(i).key, annTwo); got.acked != 2 {
			t.Fatalf("the ack of conversation %d is forgotten: %+v", i, got)
		}
	}
}

// TestManyAcksSlowNoRecord has more of them due than one record takes along.
func TestManyAcksSlowNoRecord(t *testing.T) {
	const n = 1000
	d := newDesk(t, 64, 64)
	for i := range uint64(n) {
		k := key{Kind: 2, A: i}
		d.do(bob.in(k).send(1), ann.in(k).ack(1))
	}
	d.now += ackPause
	written, records := 0, 0
	for ; d.Due(d.now, false); records++ {
		d.do()
		if len(d.change.Conversations) > n/3 {
			t.Fatalf("one record takes along the acks of %d conversations", len(d.change.Conversations))
		}
		written += len(d.change.Conversations)
	}
	if written != n || records > 10 {
		t.Fatalf("%d acks are written in %d records, want %d in a few", written, records, n)
	}
}

// TestVeryManyAcksAreDueAtOnce bounds what stays in memory for the sake of acks.
func TestVeryManyAcksAreDueAtOnce(t *testing.T) {
	const bound = 4096
	d := newDesk(t, 64, 64)
	for i := range uint64(bound) {
		k := key{Kind: 2, A: i}
		d.do(bob.in(k).send(1), ann.in(k).ack(1))
	}
	if d.Due(d.now, false) {
		t.Fatal("acks are due before there are too many")
	}
	k := key{Kind: 2, A: bound}
	d.do(bob.in(k).send(1), ann.in(k).ack(1))
	if !d.Due(d.now, false) {
		t.Fatal("with too many unwritten acks none is due")
	}
	d.do()
	if d.Due(d.now, false) {
		t.Fatal("the oldest is written, and more are due all the same")
	}
}

func TestEvictionForgetsNoAck(t *testing.T) {
	d := newDesk(t, 2, 64)
	d.do(bob.sends(1, 9)...)
	d.writeAcks()
	d.do(ann.ack(7))
	d.evict()
	if got := d.see(ann); got.acked != 7 || got.delivered != 7 {
		t.Fatalf("the ack is forgotten: %+v", got)
	}
	d.do(bob.send(10))
	d.evict()
	d.writeAcks()
	d.evict()
	d.want(ann, state{head: 10, delivered: 7, acked: 7, unread: 10, counted: true})
}

func TestCrashForgetsUnwrittenAcksAlone(t *testing.T) {
	d := newDesk(t, 64, 64)
	d.do(bob.sends(1, 9)...)
	d.do(ann.ack(3))
	d.writeAcks()
	d.do(ann.ack(8))
	d.do(annTwo.reads(2), annTwo.ack(1))
	d.do(bob.send(10))
	d.Forget()
	d.want(ann, state{head: 10, delivered: 3, read: 2, acked: 3})
	d.want(annTwo, state{head: 10, delivered: 3, read: 2})
	d.want(bob, state{head: 10, delivered: 10, acked: 10, counted: true})
	d.do(ann.ack(8))
	if got := d.see(ann); got.acked != 8 {
		t.Fatalf("the ack does not rise again: %+v", got)
	}
}

// TestReloadRaisesNoAck has a device that acked what came before a message of its
// own after it had sent it.
func TestReloadRaisesNoAck(t *testing.T) {
	d := newDesk(t, 2, 64)
	d.do(bob.sends(1, 3)...)
	d.do(ann.send(1), ann.ack(3))
	d.writeAcks()
	for _, how := range []func(){func() {}, d.evict, d.Forget} {
		how()
		if got := d.see(ann); got.acked != 3 || got.delivered != 3 {
			t.Fatalf("nobody acked more than 3: %+v", got)
		}
	}
	d.do(bob.send(4), ann.ack(5), ann.send(2))
	d.Forget()
	if got := d.see(ann); got.acked != 3 {
		t.Fatalf("after a crash only 3 is known: %+v", got)
	}
}

// TestReloadOwesNothing loads a conversation whose reader's counts are written and
// whose newest messages are replayed.
func TestReloadOwesNothing(t *testing.T) {
	d := newDesk(t, 2, 64)
	d.do(bob.send(1), ann.send(1), ann.reads(2), ann.ack(1))
	d.do(ann.send(2))
	d.writeAcks()
	d.Forget()
	d.do(ann.ack(1))
	if d.Due(d.now, true) {
		t.Fatal("a record is to be written for nothing new")
	}
}

// TestClockSetBackKeepsNoAckWaiting has an ack that waits for most of its second,
// and another behind it, when the clock is set back.
func TestClockSetBackKeepsNoAckWaiting(t *testing.T) {
	d := newDesk(t, 64, 64)
	other := key{Kind: 2, A: 5}
	d.do(bob.send(1), ann.ack(1))
	d.now += 800
	d.do(bob.in(other).send(1), ann.in(other).ack(1))
	d.now -= 700
	if !d.Due(d.now, false) {
		t.Fatal("the clock was set back, and nobody knows how long acks have waited")
	}
	d.do()
	if len(d.change.Conversations) != 2 {
		t.Fatalf("the acks of %d conversations are written, want both", len(d.change.Conversations))
	}
}

func TestTimesNeverFall(t *testing.T) {
	d := newDesk(t, 2, 64)
	first := d.do(ann.send(1))[0]
	d.now -= 60_000
	if e := d.do(ann.send(2))[0]; e.Time != first.Time {
		t.Fatalf("after the clock was set back the time is %d, want %d", e.Time, first.Time)
	}
	d.Forget()
	if e := d.do(bob.send(1))[0]; e.Time != first.Time {
		t.Fatalf("after a restart the time is %d, want %d", e.Time, first.Time)
	}
	d.now += 120_000
	if e := d.do(bob.send(2))[0]; e.Time != first.Time+60_000 {
		t.Fatalf("the time is %d, want that of the clock, %d", e.Time, first.Time+60_000)
	}
}
