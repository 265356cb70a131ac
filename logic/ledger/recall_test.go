package ledger_test

import (
	"slices"
	"testing"
	"time"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/protocol"
)

// room is a conversation of its own for each number.
func room(i uint64) key { return key{Kind: protocol.KindGroup, A: 1000 + i} }

// wantBusy checks that nothing was done, for the moment.
func (d *desk) wantBusy(list ...logic.Entry) {
	d.t.Helper()
	for _, e := range list {
		if !isBusy(e) || e.Op == hop.OpMessage && e.Seq != 0 {
			d.t.Fatalf("op %d, id %d: %+v, want busy, again after %v", e.Op, e.ClientID, e, busyRetry)
		}
	}
}

// TestNobodyWaitsForAWindow has one device ask for old ids in many conversations: the
// record that asks reads nothing back, and everybody else goes on in it.
func TestNobodyWaitsForAWindow(t *testing.T) {
	d := newDesk(t, 64, 64)
	const rooms = 40
	firsts := map[uint64]logic.Entry{}
	var old []ask
	for i := range uint64(rooms) {
		firsts[i] = d.do(ann.in(room(i)).send(2*i+1), ann.in(room(i)).send(2*i+2))[0]
		old = append(old, ann.in(room(i)).send(2*i+1))
	}
	bobs := d.do(bob.send(1))[0]
	d.Forget()
	e := d.apply(append(old, bob.send(2))...)
	if n := d.store.calls.walks; n > 0 {
		t.Fatalf("a record reads %d windows back", n)
	}
	d.wantBusy(e[:rooms]...)
	d.wantNew(e[rooms], 2)
	d.finish()
	// Another user, who comes later, is not behind all of them.
	d.Forget()
	d.apply(append(old, bob.send(1))...)
	d.finish()
	d.store.reset()
	if !d.Recall(t.Context()) || len(d.store.calls.walked) != 2 || !slices.Contains(d.store.calls.walked, bob.in(pair)) {
		t.Fatalf("first the windows of %v are read, want one of each user", d.store.calls.walked)
	}
	d.apply()
	d.finish()
	if d.recall(); d.walks != 3 {
		t.Fatalf("%d windows more wait for one user, want 3", d.walks)
	}
	d.apply()
	d.finish()
	// The rest comes with the next tries.
	for i, e := range d.do(append(old, bob.send(1))...) {
		if i < rooms {
			d.wantRepeated(e, firsts[uint64(i)])
		} else {
			d.wantRepeated(e, bobs)
		}
	}
}

// TestNothingOvertakesABusyMessage has a new message behind a retry, in the record of the
// retry and in the ones before its window is read.
func TestNothingOvertakesABusyMessage(t *testing.T) {
	d := newDesk(t, 64, 64)
	first := d.do(ann.sends(1, 5)...)
	d.Forget()
	e := d.apply(ann.send(7), ann.send(6), ann.send(4), ann.send(8), ann.send(4), annTwo.send(1), bob.send(1), ann.in(room(1)).send(9))
	d.wantNew(e[0], 6) // came before it
	d.wantNew(e[1], 7)
	d.wantBusy(e[2:5]...)
	d.wantNew(e[5], 8) // others do not wait
	d.wantNew(e[6], 9)
	d.wantNew(e[7], 1)
	d.finish()
	d.wantBusy(d.apply(ann.send(8), ann.send(7))...)
	d.finish()
	d.recall()
	e = d.apply(ann.send(4), ann.send(8), ann.send(3))
	d.wantRepeated(e[0], first[3])
	d.wantNew(e[1], 10)
	d.wantBusy(e[2])
	d.finish()
	d.recall()
	d.wantRepeated(d.apply(ann.send(3))[0], first[2])
	d.finish()
}

// TestAWindowIsReadAsFarAsNeeded counts what is read of a device's messages.
func TestAWindowIsReadAsFarAsNeeded(t *testing.T) {
	const n, window = 5000, 2*protocol.MaxUnacked - 1
	d := newDesk(t, 64, 64)
	var first []logic.Entry
	for id := uint64(1); id <= n; id += 500 {
		first = append(first, d.do(ann.sends(id, id+499)...)...)
	}
	for _, c := range []struct {
		ids     []uint64
		visited int
		stale   bool
	}{
		{[]uint64{n}, 1, false},
		{[]uint64{n - 1, n - 9}, 10, false},
		{[]uint64{n - 9, n - 1}, 10, false},
		{[]uint64{n - window + 1}, window, false},
		{[]uint64{n - window}, window, true},
		{[]uint64{1}, window, true},
	} {
		d.Forget()
		d.store.visited = 0
		var asks []ask
		for _, id := range c.ids {
			asks = append(asks, ann.send(id))
		}
		for i, e := range d.do(asks...) {
			if c.stale {
				if e.Outcome != logic.Refused || e.Code != protocol.CodeStaleClientID {
					t.Fatalf("id %d of %d: %+v, want it refused as stale", c.ids[i], n, e)
				}
			} else {
				d.wantRepeated(e, first[c.ids[i]-1])
			}
		}
		if d.store.visited != c.visited || d.walks != 1 {
			t.Errorf("for ids %v of %d so many messages are read: %d, in %d walks; want %d in one", c.ids, n, d.store.visited, d.walks, c.visited)
		}
	}
}

// TestRecallsOfManyUsersAreBounded has more devices ask than may wait.
func TestRecallsOfManyUsersAreBounded(t *testing.T) {
	const users, bound = 1200, 1024
	d := newDesk(t, 1<<12, 64)
	var asks []ask
	for user := range uint64(users) {
		asks = append(asks, origin{100 + user, 1}.in(room(user)).send(1))
	}
	firsts := d.do(asks...)
	d.Forget()
	d.wantBusy(d.apply(asks...)...)
	d.finish()
	for d.Recall(t.Context()) {
		if n := len(d.store.calls.walked); n > 16 {
			t.Fatalf("%d windows are read in one call", n)
		}
		d.walks += len(d.store.calls.walked)
		d.store.reset()
	}
	if d.walks != bound {
		t.Fatalf("%d windows waited, want %d", d.walks, bound)
	}
	for i, e := range d.do(asks...) {
		d.wantRepeated(e, firsts[i])
	}
}

// TestWaitingIsToldOf has the ledger ask for Recall when there is something to do.
func TestWaitingIsToldOf(t *testing.T) {
	told := 0
	d := newDesk(t, 64, 64)
	d.renew(func(o *ledgerOptions) { o.Waiting = func() { told++ } })
	d.do(ann.send(1), ann.send(2))
	if told != 0 || d.Recall(t.Context()) {
		t.Fatalf("without a retry Recall is asked for %d times", told)
	}
	d.Forget()
	d.apply(ann.send(1))
	d.finish()
	if told != 1 {
		t.Fatalf("Recall is asked for %d times, want once", told)
	}
	d.apply(ann.send(1))
	d.finish()
	if told != 1 || !d.Recall(t.Context()) || d.Recall(t.Context()) {
		t.Fatalf("one window is asked for %d times", told)
	}
}

// TestRepeatsInDescendingOrder sends a whole batch with falling ids, and again: each has
// its own seq, and is found.
func TestRepeatsInDescendingOrder(t *testing.T) {
	d := newDesk(t, 64, 64)
	const n = 700
	var asks []ask
	for id := uint64(n); id > 0; id-- {
		asks = append(asks, ann.send(id))
		if id%3 == 0 {
			asks = append(asks, ann.send(min(id+5, n)))
		}
	}
	firsts := map[uint64]logic.Entry{}
	for range 2 {
		for _, e := range d.do(asks...) {
			if first, known := firsts[e.ClientID]; known {
				d.wantRepeated(e, first)
			} else {
				d.wantNew(e, uint64(len(firsts)+1))
				firsts[e.ClientID] = e
			}
		}
	}
	d.do(ann.send(n + 1)) // what is kept of it is found as well
	for id := uint64(1); id <= 100; id++ {
		d.wantRepeated(d.apply(ann.send(id))[0], firsts[id])
		d.finish()
	}
}

// TestBeginningAConversation asks first.
func TestBeginningAConversation(t *testing.T) {
	var asked []uint64
	wait := 1500*time.Millisecond + time.Microsecond
	d := newDesk(t, 64, 64)
	d.renew(func(o *ledgerOptions) {
		o.Admit = func(user uint64) time.Duration {
			asked = append(asked, user)
			return wait
		}
	})
	wantWait := func(list ...logic.Entry) {
		t.Helper()
		for _, e := range list {
			if e.Outcome != logic.Refused || e.Code != protocol.CodeRateLimited || e.RetryAfter != 1501*time.Millisecond || e.Seq != 0 {
				t.Fatalf("%+v, want it refused for 1501 ms", e)
			}
		}
	}
	wantWait(d.do(ann.send(1), ann.send(2), bob.send(1), ann.send(1))...)
	if want := []uint64{1, 2}; !slices.Equal(asked, want) {
		t.Fatalf("asked about %v, want %v: once for all of a user in a record", asked, want)
	}
	if !d.change.Empty() {
		t.Fatalf("what was refused is written: %+v", d.change)
	}
	d.want(ann, state{counted: true})
	d.wantNew(d.do(origin{0, 0}.in(key{Kind: protocol.KindSystem, A: 1}).send(1))[0], 1) // the server waits for nobody
	wait, asked = 0, nil
	e := d.do(bob.send(1), ann.send(1), bob.send(2))
	for i, seq := range []uint64{1, 2, 3} {
		d.wantNew(e[i], seq)
	}
	if want := []uint64{2}; !slices.Equal(asked, want) {
		t.Fatalf("asked about %v, want %v, who begins", asked, want)
	}
	wait = time.Hour
	d.Forget()
	d.wantNew(d.do(ann.send(2))[0], 4) // it has begun
}
