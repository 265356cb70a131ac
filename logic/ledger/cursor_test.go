package ledger_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

func TestAnsweringMarksNothing(t *testing.T) {
	d := newDesk(t, 64, 64)
	d.do(bob.sends(1, 10)...)
	d.do(ann.send(1)) // and has acked none of the ten
	d.want(ann, state{head: 11, unread: 10, counted: true})
	d.do(ann.ack(4), ann.send(2))
	d.want(ann, state{head: 12, delivered: 4, acked: 4, unread: 10, counted: true})
}

func TestSendRaisesItsOwnDevicesAck(t *testing.T) {
	d := newDesk(t, 64, 64)
	d.do(ann.sends(1, 3)...)
	d.want(ann, state{head: 3, delivered: 3, acked: 3, counted: true})
	d.want(annTwo, state{head: 3, delivered: 3, counted: true})
	d.do(annTwo.send(1))
	d.want(annTwo, state{head: 4, delivered: 3, counted: true})
	d.do(bob.ack(4), bob.send(1), ann.send(4))
	d.want(bob, state{head: 6, delivered: 5, acked: 5, unread: 5, counted: true})
	d.want(ann, state{head: 6, delivered: 3, acked: 3, unread: 1, counted: true})
}

func TestCursorsEndAtTheHead(t *testing.T) {
	d := newDesk(t, 64, 64)
	e := d.do(ann.ack(9), ann.reads(9))
	d.wantOutcome(e[0], logic.Repeated)
	d.wantOutcome(e[1], logic.Repeated)
	d.want(ann, state{counted: true})

	e = d.do(bob.send(1), ann.ack(9), bob.send(2), annTwo.reads(99))
	if e[1].Seq != 1 || e[1].Delivered != 1 || !e[1].Rose || e[3].Seq != 2 || e[3].Read != 2 || e[3].Delivered != 2 || !e[3].Rose {
		t.Fatalf("an ack past the head gives %+v and a READ %+v", e[1], e[3])
	}
	d.want(ann, state{head: 2, delivered: 2, read: 2, acked: 1, counted: true})
}

func TestCursorsNeverFall(t *testing.T) {
	d := newDesk(t, 64, 64)
	d.do(bob.sends(1, 9)...)
	d.do(ann.ack(7), ann.reads(5))
	for _, x := range d.do(ann.ack(3), ann.reads(2), annTwo.ack(4), ann.ack(7), ann.reads(5)) {
		if x.Rose || x.Delivered != 7 || x.Read != 5 {
			t.Fatalf("an entry that raises nothing gives %+v", x)
		}
	}
	if got := d.see(ann); got.delivered != 7 || got.read != 5 || got.acked != 7 {
		t.Fatalf("cursors fell to %+v", got)
	}
}

func TestOwnAndSilentMessagesAreNeverUnread(t *testing.T) {
	d := newDesk(t, 2, 3)
	d.do(ann.send(1), bob.sendSilent(1), bob.send(2), ann.sendSilent(2), bob.sendSilent(3))
	d.want(ann, state{head: 5, delivered: 1, acked: 1, unread: 1, counted: true})
	d.want(bob, state{head: 5, unread: 1, counted: true})
	d.do(ann.reads(5))
	d.do(ann.send(3), bob.sendSilent(4), bob.send(5))
	for _, how := range []func(){func() {}, d.evict, d.Forget} {
		how()
		if got := d.see(ann); got.unread != 1 || !got.counted {
			t.Fatalf("Ann has read all but one: %+v", got)
		}
		if got := d.see(bob); got.unread != 2 || !got.counted {
			t.Fatalf("Bob has read nothing: %+v", got)
		}
	}
}

func TestReadBelowTheHeadIsCountedOnceAsked(t *testing.T) {
	d := newDesk(t, 2, 64)
	d.do(bob.send(1), ann.send(1), bob.send(2), bob.send(3))
	d.do(ann.reads(2))
	if got := d.see(ann); got.counted {
		t.Fatalf("nobody said what counts up to 2, yet %+v", got)
	}
	d.Learn(pair, 1, 1, 50, 50) // of another cursor
	d.do()
	if got := d.see(ann); got.counted {
		t.Fatalf("counts of another cursor were taken: %+v", got)
	}
	d.Learn(pair, 1, 2, 2, 1)
	if !d.Due(d.now, false) {
		t.Fatal("what was learned does not wait for a record")
	}
	d.apply()
	if got := d.see(ann); got.counted {
		t.Fatal("what was learned is seen before it is settled")
	}
	d.finish()
	d.want(ann, state{head: 4, delivered: 2, read: 2, unread: 2, counted: true})
	d.evict()
	d.want(ann, state{head: 4, delivered: 2, read: 2, unread: 2, counted: true})
	d.writeAcks()
	d.Forget()
	d.want(ann, state{head: 4, delivered: 2, read: 2, unread: 2, counted: true})
}

// TestRememberedCountsMustFit: what somebody remembers of a READ below the head is taken where it
// can be: a state that lost something has totals that say less than the messages.
func TestRememberedCountsMustFit(t *testing.T) {
	for _, x := range []struct {
		count, own uint64
		counted    bool
	}{{2, 1, true}, {2, 2, false}, {5, 1, false}, {1, 2, false}, {4, 0, false}} {
		d := newDesk(t, 64, 64)
		d.renew(func(o *ledgerOptions) {
			o.Counts = func(key, uint64, uint64) (count, own uint64, ok bool) { return x.count, x.own, true }
		})
		d.do(bob.send(1), ann.send(1), bob.send(2), bob.send(3))
		d.do(ann.reads(2))
		if got := d.see(ann); got.counted != x.counted || x.counted && got.unread != 2 {
			t.Errorf("where %d count and %d are one's own: %+v", x.count, x.own, got)
		}
	}
}

func TestRecordSaysWhatWasDone(t *testing.T) {
	d := newDesk(t, 64, 64)
	d.do(bob.send(1), bob.sendSilent(2))
	d.apply(bob.send(1), ann.send(1), ann.reads(3), bob.reads(1), bob.sendSilent(3), ann.ack(2))
	var r hop.Record
	d.Record(d.batches, &r)
	want := []hop.RecordEntry{
		{Op: hop.OpMessage, Conversation: pair, User: 1, Device: 1, Seq: 3, N: 2, Own: 1, Frame: d.batches[0].Entries[1].Frame},
		{Op: hop.OpRead, Flags: hop.FlagCounted, Conversation: pair, User: 1, Device: 1, Seq: 3, N: 2, Own: 1},
		{Op: hop.OpRead, Conversation: pair, User: 2, Device: 1, Seq: 1},
		{Op: hop.OpMessage, Flags: hop.FlagSilent, Conversation: pair, User: 2, Device: 1, Seq: 4, N: 2, Own: 1, Frame: d.batches[0].Entries[4].Frame},
	}
	if len(r.Entries) != len(want) {
		t.Fatalf("the record has %d entries, want %d", len(r.Entries), len(want))
	}
	for i := range want {
		if r.Entries[i] != want[i] {
			t.Errorf("entry %d is\n%+v, want\n%+v", i, r.Entries[i], want[i])
		}
	}
	if m := decode(r.Bytes(0)[protocol.HeaderSize:]); m.Seq != 3 || m.Sender != 1 {
		t.Errorf("the first frame has message %d of %d", m.Seq, m.Sender)
	}
}

// TestRecordNamesOnlyAcksThatRose has devices written at a checkpoint: one whose ack
// a PUSHACK raised, and one whose own message did, which says so itself.
func TestRecordNamesOnlyAcksThatRose(t *testing.T) {
	d := newDesk(t, 64, 2)
	d.apply(bob.send(1), ann.ack(1), ann.send(1))
	if len(d.change.Devices) != 2 {
		t.Fatalf("%d devices are written at the checkpoint, want 2", len(d.change.Devices))
	}
	var r hop.Record
	d.Record(d.batches, &r)
	want := hop.RecordEntry{Op: hop.OpAck, Conversation: pair, User: 1, Device: 1, Seq: 2}
	if acks := r.Entries[2:]; len(acks) != 1 || acks[0] != want {
		t.Fatalf("the record's acks are %+v, want %+v alone", acks, want)
	}
}

// TestReadersSeeWholeBatches looks while batches are carried out, written and
// settled or abandoned.
func TestReadersSeeWholeBatches(t *testing.T) {
	d := newDesk(t, 64, 3)
	last := uint64(3)
	d.do(append(bob.sends(1, last), ann.reads(1e9), ann.ack(1e9))...) // from here on it is in memory: the store of tests must not be read while it is written
	var looks atomic.Int64
	done := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() {
		var before state
		for ; ; looks.Add(1) {
			select {
			case <-done:
				return
			default:
			}
			var s state
			err := d.View(context.Background(), pair, func(v ledger.View) {
				m := v.Member(1)
				s = state{head: v.Head, delivered: m.Delivered, read: m.Read, acked: v.Acked(1, 1)}
			})
			if err != nil || s.head%3 != 0 || s.head < before.head || s.acked != s.head || s.delivered != s.head || s.read != s.head {
				t.Errorf("a reader sees %+v after %+v (%v)", s, before, err)
				return
			}
			before = s
		}
	})
	for !t.Failed() && (last < 300 || looks.Load() < 100) {
		asks := append(bob.sends(last+1, last+3), ann.reads(1e9), ann.ack(1e9))
		d.apply(asks...)
		d.Abandon()
		d.do(asks...)
		last += 3
	}
	close(done)
	readers.Wait()
	if got := d.see(ann); got.head != last || got.acked != last {
		t.Fatalf("in the end %+v", got)
	}
}
