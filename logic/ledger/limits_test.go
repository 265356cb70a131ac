package ledger_test

import (
	"testing"
	"time"

	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// maxLoads and maxDevices are what one user may have, unless the options say otherwise.
const (
	maxLoads   = 128
	maxDevices = 64
)

// wantInMemory checks that pair, where ann has sent ids 1 to n, need not be loaded.
func (d *desk) wantInMemory(n uint64) {
	d.t.Helper()
	d.apply(ann.send(n))
	if d.store.calls.loads > 0 {
		d.t.Fatal("a conversation that is used has to be loaded again")
	}
	d.finish()
}

// TestStrangersFlushNoCache has a user ack and read in very many conversations: in some
// that do not exist, and in some that do.
func TestStrangersFlushNoCache(t *testing.T) {
	const n = 100
	d := newDesk(t, 4, 64)
	for i := range uint64(n) {
		d.do(bob.in(room(i)).send(i + 1))
	}
	d.do(ann.sends(1, 3)...)
	for i := range uint64(n) {
		for _, k := range []key{room(i), room(n + i)} {
			d.do(annTwo.in(k).ack(9), annTwo.in(k).reads(9))
			d.do(annTwo.in(k).ack(9), annTwo.in(k).reads(9))
		}
		d.writeAcks()
	}
	d.wantInMemory(3)
	for i := range uint64(n) {
		if s := d.seeIn(room(i), annTwo); s != (state{head: 1, delivered: 1, read: 1, acked: 1, counted: true}) {
			t.Fatalf("in conversation %d the reader sees %+v", i, s)
		}
		if s := d.seeIn(room(n+i), annTwo); s != (state{counted: true}) {
			t.Fatalf("in a conversation without messages the reader sees %+v", s)
		}
	}
}

// TestMessagesInVainFlushNoCache has a user write to many strangers who may not.
func TestMessagesInVainFlushNoCache(t *testing.T) {
	d := newDesk(t, 4, 64)
	d.do(ann.sends(1, 3)...)
	d.options.Admit = func(user uint64) (wait time.Duration) {
		if user == 2 {
			wait = 1
		}
		return wait
	}
	d.renew(func(*ledgerOptions) {})
	d.do(ann.send(4))
	for i := range uint64(100) {
		d.wantOutcome(d.do(bob.in(room(i)).send(i + 1))[0], logic.Refused)
	}
	d.wantInMemory(4)
}

// TestMessagesKeepAConversation needs a cache that works.
func TestMessagesKeepAConversation(t *testing.T) {
	d := newDesk(t, 8, 64)
	d.do(ann.send(1))
	for id := uint64(2); id < 50; id++ {
		d.do(origin{9, 9}.in(room(id)).send(id))
		d.wantInMemory(id)
	}
	d.Forget()
	d.do(bob.ack(1), bob.send(1)) // loaded for an ack, kept for a message
	d.apply(bob.send(2))
	if n := d.store.calls.loads; n != 0 {
		t.Fatalf("a conversation is loaded %d times more", n)
	}
	d.finish()
}

// TestOneUserLoadsSoMuch has one name more conversations in a record than it loads for
// them.
func TestOneUserLoadsSoMuch(t *testing.T) {
	d := newDesk(t, 1<<12, 64)
	var asks []ask
	for i := range uint64(maxLoads + 20) {
		switch i % 3 {
		case 0:
			asks = append(asks, annTwo.in(room(i)).ack(1), annTwo.in(room(i)).ack(2))
		case 1:
			asks = append(asks, ann.in(room(i)).reads(1))
		default:
			asks = append(asks, ann.in(room(i)).send(i))
		}
	}
	asks = append(asks, bob.send(1), ann.send(1000), ann.in(room(0)).ack(1), bob.in(room(maxLoads+2)).ack(1))
	e := d.apply(asks...)
	if n := len(d.store.calls.loaded); n != maxLoads+2 {
		t.Fatalf("%d conversations are loaded, want %d for one user and 2 for the other", n, maxLoads)
	}
	named := map[key]bool{}
	for i, a := range asks {
		if a.by.user == 1 {
			named[a.key] = true
		}
		if busy := len(named) > maxLoads && a.by.user == 1 && a.key != pair && a.key != room(0) && a.key != room(maxLoads+2); busy {
			d.wantBusy(e[i])
		} else if e[i].Outcome != logic.Applied && e[i].Outcome != logic.Repeated {
			t.Fatalf("entry %d in %v: outcome %d, code %d", i, a.key, e[i].Outcome, e[i].Code)
		}
	}
	d.finish()
	d.do(asks...) // comes to an end
	d.Forget()
	var all []ask
	for i := range uint64(2 * maxLoads) {
		all = append(all, origin{0, 0}.in(room(i)).send(1))
	}
	for _, e := range d.apply(all...) {
		d.wantOutcome(e, logic.Applied) // nothing holds the server back
	}
}

// crowd has so many devices of user 1 send, with the client id that is their number.
func (d *desk) crowd(n uint64) (firsts []logic.Entry) {
	d.t.Helper()
	for device := uint64(1); device <= n; device++ {
		e := d.do(origin{1, device}.send(device))[0]
		d.wantNew(e, device)
		firsts = append(firsts, e)
		d.now++
	}
	return firsts
}

func wantTooMany(t *testing.T, list ...logic.Entry) {
	t.Helper()
	for _, e := range list {
		if e.Outcome != logic.Refused || e.Code != protocol.CodeTooManyDevices || e.RetryAfter != 0 {
			t.Fatalf("op %d: %+v, want too_many_devices", e.Op, e)
		}
	}
}

// TestTooManyDevices: all of them have sent something today.
func TestTooManyDevices(t *testing.T) {
	d := newDesk(t, 64, 64)
	firsts := d.crowd(maxDevices)
	one := origin{1, maxDevices + 1}
	e := d.do(one.send(1), one.ack(3), one.reads(3), one.ack(0), one.send(2), bob.send(1))
	wantTooMany(t, e[0], e[1], e[4])
	d.wantOutcome(e[2], logic.Applied) // READ is the user's
	d.wantOutcome(e[3], logic.Repeated)
	d.wantNew(e[5], maxDevices+1)
	d.now += day - maxDevices - 1 // by one less than that of the first device
	wantTooMany(t, d.do(one.send(1), one.ack(3))...)
	for i, first := range firsts {
		d.wantRepeated(d.do(origin{1, uint64(i + 1)}.send(uint64(i + 1)))[0], first)
	}
	d.now++
	d.wantNew(d.do(one.send(1))[0], maxDevices+2)
	wantTooMany(t, d.do(origin{1, maxDevices + 2}.send(1))...)
}

// TestTimeThatLiesAhead: a clock that was wrong by a day or more, and is set right,
// leaves devices whose time says nothing; one of a few hours keeps them.
func TestTimeThatLiesAhead(t *testing.T) {
	d := newDesk(t, 64, 64)
	d.crowd(maxDevices)
	newest := d.now - 1
	one := origin{1, maxDevices + 1}
	d.now = newest - day + 1
	wantTooMany(t, d.do(one.send(1))...)
	d.now--
	if e := d.do(one.send(1))[0]; e.Outcome != logic.Applied || e.Seq != maxDevices+1 {
		t.Fatalf("a day behind the newest device one more came to %+v", e)
	}
	if len(d.change.Gone) != 1 || d.change.Gone[0].Device != maxDevices {
		t.Fatalf("devices %+v make room, want %d, whose time lies a day ahead", d.change.Gone, maxDevices)
	}
}

// TestOldestDeviceMakesRoom also for one that only acks.
func TestOldestDeviceMakesRoom(t *testing.T) {
	d := newDesk(t, 64, 64)
	d.crowd(maxDevices)
	d.do(origin{1, 1}.ack(60), origin{1, 2}.ack(64), origin{1, 3}.ack(50), origin{1, 4}.ack(4))
	d.writeAcks()
	d.now += day
	for i, gone := range []uint64{4, 5, 6} { // those that stayed behind furthest
		one := origin{1, 1000 + uint64(i)}
		e := d.do(one.ack(64), origin{1, 7}.send(uint64(1000+i)))
		d.wantOutcome(e[0], logic.Applied)
		if len(d.change.Gone) != 1 || d.change.Gone[0].Device != gone {
			t.Fatalf("devices %+v make room, want %d", d.change.Gone, gone)
		}
		d.writeAcks()
	}
	for _, how := range []func(){func() {}, d.evict, d.Forget} {
		how()
		if s := d.see(origin{1, 4}); s.acked != 0 || s.delivered != 64 {
			t.Fatalf("a device that made room sees %+v", s)
		}
		if s := d.see(origin{1, 1000}); s.acked != 64 {
			t.Fatalf("a new device sees %+v", s)
		}
	}
	e := d.do(origin{1, 4}.send(4)) // a device that comes back begins anew, for nobody promised more
	d.wantNew(e[0], 68)
	d.wantRepeated(d.do(origin{1, 4}.send(4))[0], e[0])
}

// TestCursorSurvivesItsDevice: a device that had acked more than any other makes room.
func TestCursorSurvivesItsDevice(t *testing.T) {
	d := newDesk(t, 64, 64)
	d.renew(func(o *ledgerOptions) { o.Devices = 1 })
	d.do(bob.sends(1, 9)...)
	d.do(ann.ack(7))
	d.writeAcks()
	stamp := d.stamp
	d.do(annTwo.ack(2))
	if d.change.Empty() || len(d.change.Members) != 1 || d.change.Members[0].Delivered != 7 {
		t.Fatalf("what the device had acked is not kept: %+v", d.change)
	}
	for range 2 {
		if s := d.see(annTwo); s.delivered != 7 {
			t.Fatalf("the cursor fell: %+v", s)
		}
		err := d.View(t.Context(), pair, func(v ledger.View) {
			if v.Changed < stamp {
				t.Errorf("the conversation changed under %d last, and says %d", stamp, v.Changed)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		d.Forget()
	}
	d.apply(ann.ack(9))
	d.Abandon()
	if s := d.see(annTwo); s.acked != 2 && s.acked != 0 || s.delivered != 7 {
		t.Fatalf("an abandoned batch made the device leave: %+v", s)
	}
}

// TestDevicesOfABatchStay: they do not make room for each other.
func TestDevicesOfABatchStay(t *testing.T) {
	d := newDesk(t, 64, 64)
	d.renew(func(o *ledgerOptions) { o.Devices = 2 })
	d.do(bob.sends(1, 100)...)
	var asks []ask
	for device := uint64(1); device <= 9; device++ {
		asks = append(asks, origin{1, device}.ack(5))
	}
	e := d.apply(asks...)
	d.wantOutcome(e[0], logic.Applied)
	d.wantOutcome(e[1], logic.Applied)
	wantTooMany(t, e[2:]...)
	d.finish()
	d.now += 2 * day
	e = d.do(origin{1, 2}.ack(6), origin{1, 3}.ack(6), origin{1, 4}.ack(6))
	d.wantOutcome(e[1], logic.Applied)
	wantTooMany(t, e[2])
	d.want(origin{1, 2}, state{head: 100, delivered: 6, acked: 6, unread: 100, counted: true})
}

// TestOfDevicesThatKeepUp the one that acked before the other makes room.
func TestOfDevicesThatKeepUp(t *testing.T) {
	d := newDesk(t, 64, 64)
	d.renew(func(o *ledgerOptions) { o.Devices = 2 })
	d.do(bob.sends(1, 9)...)
	for _, o := range []origin{annTwo, ann} {
		d.do(o.ack(9))
		d.writeAcks()
	}
	d.do(origin{1, 3}.ack(9))
	if len(d.change.Gone) != 1 || d.change.Gone[0].Device != annTwo.device {
		t.Fatalf("devices %+v make room, want the second", d.change.Gone)
	}
}

// TestDeviceThatIsReplayedStays: a load would find it in the newest messages, and it would
// be back.
func TestDeviceThatIsReplayedStays(t *testing.T) {
	d := newDesk(t, 64, 64)
	d.renew(func(o *ledgerOptions) { o.Devices = 1 })
	d.do(ann.send(1))
	d.now += 2 * day
	wantTooMany(t, d.do(annTwo.send(1))...)
	d.do(bob.sends(1, 63)...)
	d.wantNew(d.do(annTwo.send(1))[0], 65)
	d.Forget()
	d.want(ann, state{head: 65, delivered: 1, unread: 63, counted: true})
}
