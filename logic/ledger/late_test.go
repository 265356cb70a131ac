package ledger_test

import (
	"testing"

	"gannet/logic"
	"gannet/protocol"
)

// TestRecordWhileAWindowIsRead has a record begin and end while a window is read back.
func TestRecordWhileAWindowIsRead(t *testing.T) {
	d := newDesk(t, 64, 64)
	first := d.do(ann.sends(1, 5)...)
	d.Forget()
	d.wantBusy(d.apply(ann.send(2))[0])
	d.finish()
	d.store.before = func() {
		d.store.before = nil
		d.wantBusy(d.apply(ann.send(2), bob.send(1))[0])
		d.finish()
	}
	if !d.Recall(t.Context()) {
		t.Fatal("no window waits")
	}
	d.wantRepeated(d.apply(ann.send(2))[0], first[1])
	d.finish()
}

// TestWindowThatHasMovedOn has a window asked for, and its device send on after the
// conversation had to make room: what is read then belongs to no window any more.
func TestWindowThatHasMovedOn(t *testing.T) {
	d := newDesk(t, 2, 64)
	first := d.do(ann.sends(1, 10)...)
	d.evict()
	d.wantBusy(d.apply(ann.send(1))[0])
	d.finish()
	d.evict()
	next := d.apply(ann.send(11))[0]
	d.wantNew(next, 11)
	d.finish()
	d.evict()
	d.wantBusy(d.apply(ann.send(11))[0])
	d.finish()
	d.recall()
	e := d.do(ann.send(11), ann.send(1))
	d.wantRepeated(e[0], next)
	d.wantRepeated(e[1], first[0])
}

// TestLateIDsAreCounted has a device send a whole window in falling order, so that an id
// below them is too old.
func TestLateIDsAreCounted(t *testing.T) {
	const n = protocol.MaxUnacked - 3
	for _, more := range []uint64{0, 1} {
		d := newDesk(t, 64, 64)
		d.do(ann.send(10_000))
		d.Forget()
		asks := []ask{ann.send(20_000)}
		for id := n + more; id > 0; id-- {
			asks = append(asks, ann.send(10_000+id))
		}
		d.apply(append(asks, ann.send(9_000))...)
		d.finish()
		d.recall()
		e := d.apply(ann.send(9_000))[0]
		if more == 0 {
			d.wantNew(e, n+3)
		} else if e.Outcome != logic.Refused || e.Code != protocol.CodeStaleClientID {
			t.Fatalf("an id with a whole window of higher ones came to %+v", e)
		}
		d.finish()
	}
}
