package ledger_test

import (
	"slices"
	"testing"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// floor is where seqs may have been given out and lost up to.
const floor = 1 << 20

// lost gives a desk whose store has what d had, and whose ledger has a floor.
func lost(d *desk) *desk {
	d.Ledger = ledger.New(ledger.Options{Queues: 1, Conversations: 100, Checkpoint: 64, ClientIDs: 1 << 20, Floor: floor}, d.store)
	return d
}

// record gives what a record announces and tells, in order: the frames' types, and for
// each hole whom it is for and how the frame names it.
func (d *desk) record() (types []protocol.Type, holes []hop.RecordEntry, ranges []protocol.Range) {
	d.t.Helper()
	var r hop.Record
	d.Record(d.batches, &r)
	for i, e := range r.Entries {
		if e.Frame.Len() == 0 {
			continue
		}
		f, n, err := protocol.Split(r.Bytes(i), protocol.MaxFrame)
		if err != nil || n != e.Frame.Len() {
			d.t.Fatalf("entry %d has no whole frame: %v", i, err)
		}
		types = append(types, f.Type)
		if e.Op == hop.OpHole {
			var m protocol.Range
			if err := m.Decode(f.Payload); err != nil {
				d.t.Fatal(err)
			}
			holes, ranges = append(holes, e), append(ranges, m)
		}
	}
	return types, holes, ranges
}

// TestGoesOnAboveTheFloor: the first message after a loss gets a seq that was never
// given out, its record tells every member of the gap first, and from there on all is
// as ever: also in a conversation of which nothing is left.
func TestGoesOnAboveTheFloor(t *testing.T) {
	d := newDesk(t, 100, 64)
	d.do(bob.send(1), ann.send(1), ann.ack(2), bob.reads(2))
	d.writeAcks()
	lost(d)
	other := key{Kind: protocol.KindDirect, A: 1, B: 9}
	first := d.apply(ann.send(2), bob.send(2), ann.in(other).send(3))
	for i, want := range []uint64{floor + 1, floor + 2, floor + 1} {
		d.wantNew(first[i], want)
	}
	before := slices.Clone(d.batches[0].Blob)
	types, holes, ranges := d.record()
	push, hole := protocol.TypePush, protocol.TypeHole
	if want := []protocol.Type{hole, hole, push, push, hole, hole, push}; !slices.Equal(types, want) {
		t.Fatalf("the record has %v, want %v", types, want)
	}
	at := func(user uint64) protocol.Target { return protocol.Target{Kind: protocol.KindDirect, ID: user} }
	for i, want := range []struct {
		user  uint64
		names protocol.Range
	}{
		{1, protocol.Range{Target: at(2), First: 3, Last: floor}},
		{2, protocol.Range{Target: at(1), First: 3, Last: floor}},
		{1, protocol.Range{Target: at(9), First: 1, Last: floor}},
		{9, protocol.Range{Target: at(1), First: 1, Last: floor}},
	} {
		if e := holes[i]; e.User != want.user || e.Device != 0 || e.Seq != floor || ranges[i] != want.names {
			t.Errorf("hole %d is %+v for user %d, want %+v for user %d", i, ranges[i], e.User, want.names, want.user)
		}
	}
	if !slices.Equal(d.batches[0].Blob, before) {
		t.Error("the blob of the batch was written to")
	}
	d.Settle()
	// Ann had everything, so what she sends raises her ack over the hole; Bob had not.
	d.want(ann, state{head: floor + 2, delivered: floor + 1, acked: floor + 1, unread: 2, counted: true})
	d.want(bob, state{head: floor + 2, delivered: 2, read: 2, acked: 1, unread: 1, counted: true})

	e := d.apply(ann.send(2), ann.send(4), bob.ack(floor+1))
	d.wantRepeated(e[0], first[0])
	d.wantNew(e[1], floor+3)
	if types, _, _ := d.record(); !slices.Equal(types, []protocol.Type{push}) {
		t.Errorf("a later record has %v, want one PUSH", types)
	}
}

// TestNoHoleWithoutALoss: a conversation that is above the floor goes on by one.
func TestNoHoleWithoutALoss(t *testing.T) {
	d := lost(newDesk(t, 100, 64))
	d.apply(ann.send(1))
	d.Settle()
	for id := uint64(2); id < 5; id++ {
		d.wantNew(d.apply(ann.send(id))[0], floor+id)
		if _, holes, _ := d.record(); len(holes) != 0 {
			t.Fatalf("the record announces %+v", holes)
		}
		d.Settle()
	}
	system := key{Kind: protocol.KindSystem, A: 7}
	d.apply(origin{}.in(system).send(1))
	if _, holes, ranges := d.record(); len(holes) != 1 || holes[0].User != 7 || ranges[0].Target.Kind != protocol.KindSystem {
		t.Errorf("the hole of a system conversation is %+v, %+v", holes, ranges)
	}
	if e := d.batches[0].Entries[0]; e.Outcome != logic.Applied || e.Seq != floor+1 {
		t.Errorf("its message got %+v", e)
	}
}
