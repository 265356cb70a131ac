package ledger_test

import (
	"testing"

	"gannet/internal/hop"
)

// acksOf gives how many acks the record of what was worked out last has, and how many
// devices are written with it.
func (d *desk) acksOf() (entries, devices int) {
	var r hop.Record
	d.Record(d.batches, &r)
	for _, e := range r.Entries {
		if e.Op == hop.OpAck {
			entries++
		}
	}
	return entries, len(d.change.Devices)
}

// readers are devices of as many users.
func readers(n int) (list []origin) {
	for i := range n {
		list = append(list, origin{uint64(100 + i), 1})
	}
	return list
}

// TestRecordHasRoomForSoManyAcks: the acks of one conversation or of many that wait are
// written a record at a time, however they are asked for, and none is lost.
func TestRecordHasRoomForSoManyAcks(t *testing.T) {
	const room, n = 10, 95
	one := key{Kind: 2, A: 1}
	for _, c := range []struct {
		name string
		of   func(i int) key // the conversation of an ack
	}{
		{"of one conversation", func(int) key { return one }},
		{"of one each", func(i int) key { return key{Kind: 2, A: uint64(1 + i)} }},
		{"of some each", func(i int) key { return key{Kind: 2, A: uint64(1 + i/7)} }},
	} {
		for _, how := range []struct {
			name string
			do   func(d *desk, try int)
		}{
			{"at a stop", func(d *desk, _ int) {
				if _, err := d.tryApply(true); err != nil {
					t.Fatal(err)
				}
			}},
			{"when they are due", func(d *desk, _ int) { d.apply() }},
			{"with messages", func(d *desk, try int) { d.apply(bob.in(one).send(uint64(100 + try))) }},
		} {
			t.Run(c.name+" "+how.name, func(t *testing.T) {
				d := newDesk(t, 2, 1)
				for i := range n {
					d.do(bob.in(c.of(i)).send(uint64(1 + i)))
				}
				d.writeAcks()
				for i, o := range readers(n) {
					d.do(o.in(c.of(i)).ack(1))
				}
				d.room = room
				d.now += ackPause
				for written, try := 0, 0; d.Due(d.now, false); try++ {
					how.do(d, try)
					entries, devices := d.acksOf()
					if d.finish(); entries > room || devices > room+1 {
						t.Fatalf("a record has %d acks, and writes %d devices", entries, devices)
					}
					if written += entries; written < n && entries < room {
						t.Fatalf("a record has %d acks, %d are written", entries, written)
					}
				}
				d.Forget()
				for i, o := range readers(n) {
					if got := d.seeIn(c.of(i), o); got.acked != 1 {
						t.Fatalf("the ack of reader %d is lost: %+v", i, got)
					}
				}
			})
		}
	}
}

// TestAcksOfSendersComeAlong: whoever sends is written with the message, and so is what
// the device has acked, for which others make room.
func TestAcksOfSendersComeAlong(t *testing.T) {
	const n = 5
	k := key{Kind: 2, A: 1}
	d := newDesk(t, 2, 1)
	d.do(bob.in(k).send(1))
	list := readers(2 * n)
	for _, o := range list {
		d.do(o.in(k).ack(1))
	}
	d.room = n + 2
	d.now += ackPause
	var asks []ask
	for _, o := range list[n:] {
		asks = append(asks, o.in(k).send(1))
	}
	d.apply(asks...)
	if entries, devices := d.acksOf(); entries != n+2 || devices != n+2 {
		t.Errorf("a record has %d acks and writes %d devices, want %d", entries, devices, n+2)
	}
	d.finish()
	for _, o := range list[n:] {
		if got := d.store.talks[k].devices[o]; got.Acked == 0 || got.Last == 0 {
			t.Errorf("of a sender this is written: %+v", got)
		}
	}
	d.room = 1
	for i := range n - 2 {
		if !d.Due(d.now, false) {
			t.Fatalf("after %d of the others none is due", i)
		}
		d.do()
	}
	if d.Due(d.now, true) {
		t.Error("acks wait still")
	}
}

// TestAckThatFoundNoRoomIsWrittenInItsSecond: it is due no later than it was.
func TestAckThatFoundNoRoomIsWrittenInItsSecond(t *testing.T) {
	k := key{Kind: 2, A: 1}
	d := newDesk(t, 2, 1)
	d.do(bob.in(k).send(1))
	d.writeAcks()
	d.do(ann.in(k).ack(1), annTwo.in(k).ack(1))
	d.room = 1
	d.now += ackPause - 1
	d.do(bob.in(k).send(2)) // takes one along
	if d.Due(d.now, false) {
		t.Fatal("the other is due before its time")
	}
	d.now++
	if !d.Due(d.now, false) {
		t.Fatal("the other waits for longer")
	}
	d.do()
	if d.Due(d.now, true) {
		t.Fatal("an ack waits still")
	}
}
