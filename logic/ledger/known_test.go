package ledger_test

import (
	"slices"
	"testing"

	"gannet/logic"
	"gannet/protocol"
)

// TestKnown: what somebody remembers is a repeat at once, and nothing is read back for it.
// What nobody remembers is read back all the same.
func TestKnown(t *testing.T) {
	d := newDesk(t, 64, 1)
	firsts := d.do(ann.sends(1, 5)...)
	asked := 0
	d.renew(func(o *ledgerOptions) {
		o.Known = func(k key, user, device, id uint64) (seq, time uint64, ok bool) {
			asked++
			if k != pair || user != ann.user || device != ann.device || id < 4 {
				return 0, 0, false
			}
			return firsts[id-1].Seq, firsts[id-1].Time, true
		}
	})
	d.now += 5000
	e := d.apply(ann.send(4), ann.send(6), ann.send(5), bob.send(1))
	d.finish()
	d.wantRepeated(e[0], firsts[3])
	d.wantNew(e[1], 6)
	d.wantRepeated(e[2], firsts[4])
	d.wantNew(e[3], 7)
	if asked != 2 {
		t.Errorf("it was asked %d times, for two that may be repeats", asked)
	}
	d.store.reset()
	if d.Recall(t.Context()) {
		t.Error("a window is read back of which nobody asked for what is not remembered")
	}
	e = d.apply(ann.send(2), ann.send(5))
	d.finish()
	d.wantBusy(e...) // 5 must not overtake 2
	for i, e := range d.do(ann.send(2), ann.send(5)) {
		d.wantRepeated(e, firsts[[]int{1, 4}[i]])
	}
}

// TestOwing: the conversations of a user are those in which they or their peer acked.
func TestOwing(t *testing.T) {
	d := newDesk(t, 64, 1)
	group, system := key{Kind: protocol.KindGroup, A: 9}, key{Kind: protocol.KindSystem, A: 1}
	other := key{Kind: protocol.KindDirect, A: 3, B: 4}
	d.do(ann.send(1), ann.in(group).send(2), origin{}.in(system).send(1), origin{3, 1}.in(other).send(1))
	want := func(user uint64, keys ...key) {
		t.Helper()
		if got := d.Owing(user); !slices.Equal(got, keys) {
			t.Errorf("user %d: %v is owing, want %v", user, got, keys)
		}
	}
	want(1)
	d.do(bob.ack(1), bob.in(group).ack(1), ann.in(system).ack(1), origin{4, 1}.in(other).ack(1))
	want(1, pair, system)
	want(2, pair, group)
	want(3, other)
	want(5)
	d.now += 1000
	d.writeAcks()
	want(1)
	want(2)
	if e := d.do(ann.send(1)); e[0].Outcome != logic.Repeated {
		t.Errorf("a retry is %+v", e[0])
	}
}
