package logic_test

import (
	"slices"
	"testing"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/protocol"
)

// What checks a login and draws its number enters nothing: one that a node carries out late
// replaces nobody who has logged in since, and closes nobody.
func TestALateLoginChangesNothing(t *testing.T) {
	r := newRig(t, nil)
	before := r.login(1, r.hello(42, 7))
	late := r.check(1, r.hello(42, 7)) // it was asked twice, as the first answer did not come in time
	here := r.login(2, r.hello(42, 7))
	last := r.check(1, r.hello(42, 7)) // and a third time
	if list := r.at(42); len(list) != 1 || list[0].At.Conn != 2 {
		t.Fatalf("the device is at %+v", list)
	}
	if want := []kick{{hop.Address{Gateway: 3, Conn: 1}, protocol.CodeReplaced}}; !slices.Equal(r.kicked, want) {
		t.Errorf("kicked %+v, want %+v", r.kicked, want)
	}
	if !(before.Number < late.Number && late.Number < here.Number && here.Number < last.Number) {
		t.Errorf("drawn were %d, %d, %d, %d", before.Number, late.Number, here.Number, last.Number)
	}
	// Entering comes late too, or twice.
	if code := r.enter(1, 7, late); code != protocol.CodeReplaced {
		t.Errorf("a connection that was replaced is entered: %v", code)
	}
	if code := r.enter(2, 7, here); code != 0 {
		t.Errorf("entered again, its own connection is %v", code)
	}
	if list := r.at(42); len(list) != 1 || list[0].At.Conn != 2 {
		t.Errorf("the device is at %+v", list)
	}
	if slices.ContainsFunc(r.kicked, func(k kick) bool { return k.at.Conn != 1 }) {
		t.Errorf("kicked %+v", r.kicked)
	}
	wantNoTrouble(t, r.Service)
}

// Many log in together: each gets an answer of their own, in order.
func TestManyLogins(t *testing.T) {
	r := newRig(t, func(c *logic.Config) { c.MaxSessions = 2 })
	r.login(1, r.hello(9, 1))
	var logins []hop.Login
	add := func(conn, user, device uint64) {
		logins = append(logins, hop.Login{Address: hop.Address{Gateway: 3, Conn: conn}, Request: uint32(conn), Hello: r.hello(user, device)})
	}
	add(11, 5, 1)
	add(12, 9, 1) // replaces connection 1
	add(13, 6, 0) // no device
	add(14, 5, 2)
	add(15, 5, 3) // one too many
	add(16, 7, 1)
	add(17, 7, 1) // of the same device
	logins[5].Hello.Token = []byte("x")
	welcomes, err := r.Login(t.Context(), logins)
	if err != nil || len(welcomes) != len(logins) {
		t.Fatalf("%d answers, %v", len(welcomes), err)
	}
	users := []uint64{5, 9, 0, 5, 5, 0, 7}
	codes := []protocol.Code{2: protocol.CodeBadDevice, 5: protocol.CodeBadToken, 6: 0}
	var connections []hop.Binding
	for i, w := range welcomes {
		if w.Code != codes[i] || w.User != users[i] || (w.Number == 0) != (w.Code != 0) {
			t.Fatalf("login %d: %+v", i, w)
		}
		if w.Code == 0 {
			if f := one(t, w.Frame); f.Request != logins[i].Request {
				t.Errorf("login %d is the answer to request %d", i, f.Request)
			}
			connections = append(connections, entering(logins[i].Conn, logins[i].Hello.Device, w))
		}
	}
	entered, err := r.Enter(t.Context(), connections)
	if want := []protocol.Code{0, 0, 0, protocol.CodeTooManySessions, 0}; err != nil || !slices.Equal(entered, want) {
		t.Fatalf("entered: %v, %v; want %v", entered, err, want)
	}
	if want := []kick{{hop.Address{Gateway: 3, Conn: 1}, protocol.CodeReplaced}}; !slices.Equal(r.kicked, want) {
		t.Errorf("kicked %+v, want %+v", r.kicked, want)
	}
	for user, want := range map[uint64][]uint64{5: {11, 14}, 9: {12}, 7: {17}} {
		var conns []uint64
		for _, d := range r.at(user) {
			conns = append(conns, d.At.Conn)
		}
		if !slices.Equal(conns, want) {
			t.Errorf("user %d is at %d, want %d", user, conns, want)
		}
	}
}
