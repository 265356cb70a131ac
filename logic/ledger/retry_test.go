package ledger_test

import (
	"testing"

	"gannet/logic"
	"gannet/protocol"
)

func TestRetryAfterAbandonedBatchIsNew(t *testing.T) {
	d := newDesk(t, 64, 64)
	d.wantNew(d.do(ann.send(1))[0], 1)
	e := d.apply(ann.send(2), ann.send(3), ann.send(2))
	d.wantNew(e[0], 2)
	d.wantRepeated(e[2], e[0])
	d.Abandon()
	d.want(bob, state{head: 1, unread: 1, counted: true})
	d.now += 5
	e = d.do(ann.send(3), ann.send(2))
	d.wantNew(e[0], 2) // the seq was never given out
	d.wantNew(e[1], 3)
	d.wantRepeated(d.do(ann.send(2))[0], e[1])
}

// TestRetryAfterAbandonedRetries has the window in memory when the batch is undone.
func TestRetryAfterAbandonedRetries(t *testing.T) {
	d := newDesk(t, 64, 64)
	first := d.do(ann.send(1), ann.send(5))
	e := d.apply(ann.send(5), ann.send(6), ann.send(3))
	d.wantRepeated(e[0], first[1])
	d.wantNew(e[1], 3)
	d.wantNew(e[2], 4)
	d.Abandon()
	d.now++
	e = d.do(ann.send(3), ann.send(6), ann.send(1))
	d.wantNew(e[0], 3)
	d.wantNew(e[1], 4)
	d.wantRepeated(e[2], first[0])
}

func TestRetryOfWhatWasSettled(t *testing.T) {
	for _, checkpoint := range []uint64{1, 3, 64} {
		d := newDesk(t, 2, checkpoint)
		var first []logic.Entry
		for id := uint64(1); id <= 20; id++ {
			first = append(first, d.do(ann.send(id))...)
			d.do(bob.send(id))
			d.now += 1000
		}
		for _, how := range []func(){func() {}, d.evict, d.Forget} {
			how()
			for i, e := range d.do(ann.sends(1, 20)...) {
				d.wantRepeated(e, first[i])
			}
			if head := d.see(ann).head; head != 40 {
				t.Fatalf("after retries the head is %d, want 40", head)
			}
		}
		d.wantNew(d.do(ann.send(21))[0], 41)
	}
}

func TestDevicesAndConversationsHaveIDsOfTheirOwn(t *testing.T) {
	d := newDesk(t, 64, 64)
	other := key{Kind: protocol.KindGroup, A: 5}
	e := d.do(ann.send(9), annTwo.send(9), bob.send(9), ann.in(other).send(9), ann.send(9))
	for i, seq := range []uint64{1, 2, 3, 1} {
		d.wantNew(e[i], seq)
	}
	d.wantRepeated(e[4], e[0])
}

func TestIDsInTheWrongOrder(t *testing.T) {
	d := newDesk(t, 2, 64)
	six := d.do(ann.send(4), ann.send(6))[1] // 5 was rejected for overload
	five := d.do(ann.send(5))[0]
	d.wantNew(five, 3)
	if n := d.walks; n != 0 {
		t.Fatalf("an id that was refused a moment ago is looked up %d times", n)
	}
	d.evict()
	e := d.do(ann.send(5), ann.send(6), ann.send(7))
	d.wantRepeated(e[0], five)
	d.wantRepeated(e[1], six)
	d.wantNew(e[2], 4)
}

// TestWholeWindowInTheWrongOrder has all messages of a window but the last rejected
// at first, and then everything sent anew, twice.
func TestWholeWindowInTheWrongOrder(t *testing.T) {
	const last = protocol.MaxUnacked
	for _, forget := range []bool{false, true} {
		d := newDesk(t, 64, 64)
		firsts := map[uint64]logic.Entry{last: d.do(ann.send(last))[0]}
		for range 2 {
			for id := uint64(1); id <= last; id += 100 {
				for _, e := range d.do(ann.sends(id, min(id+99, last))...) {
					if first, known := firsts[e.ClientID]; known {
						d.wantRepeated(e, first)
						continue
					}
					d.wantNew(e, e.ClientID+1)
					firsts[e.ClientID] = e
				}
			}
			if forget {
				d.Forget()
			}
		}
		if head := d.see(ann).head; head != last {
			t.Fatalf("the head is %d, want %d", head, last)
		}
	}
}

func TestRetryAtTheEndOfTheWindow(t *testing.T) {
	d := newDesk(t, 64, 64)
	const last = 9 + protocol.MaxUnacked
	first := d.do(ann.sends(10, last-1)...)[0]
	d.Forget()
	d.wantNew(d.do(ann.send(9))[0], protocol.MaxUnacked) // as many higher ids as a window has room for
	d.wantNew(d.do(ann.send(last))[0], protocol.MaxUnacked+1)
	d.Forget()
	d.wantRepeated(d.do(ann.send(10))[0], first)
	e := d.do(ann.send(8))[0]
	if e.Outcome != logic.Refused || e.Code != protocol.CodeStaleClientID {
		t.Fatalf("an id past the window: outcome %d, code %d", e.Outcome, e.Code)
	}

	d.do(bob.sends(2, protocol.MaxUnacked)...)
	d.wantNew(d.do(bob.send(1))[0], 2*protocol.MaxUnacked+1)
	other := ann.in(key{Kind: protocol.KindGroup, A: 5})
	for id := range uint64(protocol.MaxUnacked) {
		d.do(other.send(id + 2))
	}
	d.wantOutcome(d.do(other.send(1))[0], logic.Refused)
}

// TestRetryPastTheWindowGetsNoSecondSeq asks again for everything after far more
// messages than a window holds.
func TestRetryPastTheWindowGetsNoSecondSeq(t *testing.T) {
	d := newDesk(t, 64, 64)
	const n = 4 * protocol.MaxUnacked // the window was trimmed a moment ago
	d.do(ann.send(1))
	d.do(ann.send(1)) // the window is in memory from here on, and is trimmed
	firsts := map[uint64]logic.Entry{}
	for _, e := range d.do(ann.sends(2, n)...) {
		firsts[e.ClientID] = e
	}
	for _, forget := range []bool{false, true} {
		if forget {
			d.Forget()
		}
		for _, e := range d.do(ann.sends(2, n)...) {
			stale := e.Outcome == logic.Refused && e.Code == protocol.CodeStaleClientID
			if e.ClientID <= n-protocol.MaxUnacked && stale {
				continue
			}
			d.wantRepeated(e, firsts[e.ClientID])
		}
	}
	if head := d.see(ann).head; head != n {
		t.Fatalf("the head is %d, want %d", head, n)
	}
}

// TestWindowsAreForgottenOldestFirst has more retries than a ledger remembers.
func TestWindowsAreForgottenOldestFirst(t *testing.T) {
	d := newDesk(t, 64, 64)
	const devices, each = 100, 1000
	d.renew(func(o *ledgerOptions) { o.Devices, o.ClientIDs = devices, devices*each/2 })
	firsts := map[uint64]logic.Entry{}
	for device := uint64(1); device <= devices; device++ {
		o := origin{1, device}
		firsts[device] = d.do(o.sends(1, each)...)[0]
		d.wantRepeated(d.do(o.send(1))[0], firsts[device])
	}
	walks := func(device uint64) int {
		d.wantRepeated(d.do(origin{1, device}.send(1))[0], firsts[device])
		return d.walks
	}
	if n := walks(devices); n != 0 {
		t.Errorf("the newest window is looked up %d times, want that it is in memory", n)
	}
	if n := walks(1); n != 1 {
		t.Errorf("the oldest window is looked up %d times, want once", n)
	}
	if n := walks(1); n != 0 {
		t.Errorf("a window that was just looked up is looked up %d times", n)
	}
}

// TestOnlyTheNewestIDsAreRemembered has a device that sends much and asks again
// seldom.
func TestOnlyTheNewestIDsAreRemembered(t *testing.T) {
	d := newDesk(t, 64, 64)
	const n = 2000
	var all []logic.Entry
	for id := uint64(1); id <= n; id += 10 {
		all = append(all, d.do(ann.sends(id, id+9)...)...)
	}
	for _, c := range []struct {
		id    uint64
		walks int
	}{{n, 0}, {n - 100, 0}, {n - 900, 1}, {n - 800, 0}, {n - 1000, 1}} {
		d.wantRepeated(d.do(ann.send(c.id))[0], all[c.id-1])
		if got := d.walks; got != c.walks {
			t.Errorf("id %d of %d is looked up %d times, want %d", c.id, n, got, c.walks)
		}
	}
}
