package gateway

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"gannet/internal/limiter"
	"gannet/protocol"
)

// A full table takes every new ban, in place of the one from longest ago; a ban that is
// renewed counts as new.
func TestBans(t *testing.T) {
	b := bans[int]{max: 3}
	for key := range 3 {
		if b.add(key, 100, 10) {
			t.Errorf("for ban %d another one went", key)
		}
	}
	if b.add(0, 200, 20) {
		t.Error("for a ban that is renewed another one went")
	}
	if !b.add(3, 100, 20) {
		t.Error("a ban that went is not told")
	}
	for key, want := range []int64{170, 0, 70, 70} {
		if got := b.left(key, 30); got != want {
			t.Errorf("%d stays out for %d ticks, want %d", key, got, want)
		}
	}
	if b.add(4, 300, 100) {
		t.Error("a ban is told to have gone that was over")
	}
	if got := b.left(3, 100); got != 0 || b.len() != 2 {
		t.Errorf("after its time 3 stays out for %d ticks, and %d are kept", got, b.len())
	}
	if b.sweep(200); b.len() != 1 || b.left(4, 200) != 100 {
		t.Errorf("%d are kept after a sweep", b.len())
	}
	if b.sweep(300); b.len() != 0 || b.order.Len() != 0 {
		t.Errorf("%d and %d are kept after all have ended", b.len(), b.order.Len())
	}
}

// Whoever fails from many addresses gets no address out of its ban, but for the ones of
// longest ago; each that is dropped is counted.
func TestBansOfManyAddresses(t *testing.T) {
	l := newLimiter(time.Minute)
	l.give(limiter.FailedLogins, 0)
	st := newStage(t, newLogic(), Config{MaxConnections: 100, Limiter: l})
	fail := func(i int) {
		p := place{from: netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("10.0.%d.%d", i/250, i%250)), 1)}
		if r, _ := st.places.take(&p, false); r != admitted {
			t.Fatalf("address %d is refused as %s", i, refusalNames[r])
		}
		st.places.failed(&p)
		st.places.leave(&p)
	}
	for i := range 150 {
		fail(i)
	}
	bad := st.dialFrom("127.0.0.3")
	bad.send(ping(1)) // is no HELLO
	if code := bad.closed(); code != protocol.CodeHelloExpected {
		t.Fatalf("closed with %v", code)
	}
	st.eventually("it is gone", func() bool { return st.stat("connections") == 0 })
	for i := range 50 {
		fail(200 + i)
	}
	if code := st.dialFrom("127.0.0.3").closed(); code != protocol.CodeAddressLimited {
		t.Errorf("an address that failed comes in again: %v", code)
	}
	if n := st.stat("drop.bans"); n != 101 {
		t.Errorf("%d bans are counted as dropped", n)
	}
}

// Likewise of users who went on over their limits.
func TestOffendersAreKeptOut(t *testing.T) {
	var o offenders
	const mine = 1
	o.add(mine, 1000, 1)
	for user := uint64(2); user <= maxOffenders; user++ {
		if o.add(user, 1000, 1) {
			t.Fatalf("for user %d another one is let in", user)
		}
	}
	o.add(mine, 1000, 2)
	if !o.add(maxOffenders+1, 1000, 2) {
		t.Error("that one user is let in is not told")
	}
	if o.left(mine, 3) != 997 || o.left(maxOffenders, 3) != 997 || o.left(2, 3) != 0 {
		t.Errorf("they stay out for %d, %d and %d ticks", o.left(mine, 3), o.left(maxOffenders, 3), o.left(2, 3))
	}
}
