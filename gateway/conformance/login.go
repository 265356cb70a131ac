package conformance

import (
	"slices"

	"gannet/internal/hop"
	"gannet/protocol"
)

func loginsInOrder(w *world) {
	hello := func(user, device uint64) protocol.Hello {
		return protocol.Hello{Version: protocol.Version, Token: w.Token(user), Device: device, Heartbeat: 60, Name: []byte("test")}
	}
	bad, old, nobody := hello(1, 1), hello(1, 1), hello(1, 0)
	bad.Token = []byte("rubbish")
	old.Version++
	hellos := []protocol.Hello{hello(1, 1), bad, hello(2, 1<<63), old, nobody, hello(1, 2), hello(1, 1)}
	var logins []hop.Login
	for i, h := range hellos {
		logins = append(logins, hop.Login{Address: hop.Address{Gateway: epoch, Conn: uint64(i) + 1}, Request: 100 + uint32(i), Hello: h})
	}
	welcomes, err := w.Logic.Login(w.t.Context(), logins)
	if err != nil || len(welcomes) != len(logins) {
		w.t.Fatalf("%d welcomes, %v", len(welcomes), err)
	}
	codes := []protocol.Code{0, protocol.CodeBadToken, 0, protocol.CodeBadVersion, protocol.CodeBadDevice, 0, 0}
	users := []uint64{1, 0, 2, 0, 0, 1, 1}
	last := map[uint64]uint64{}
	for i, got := range welcomes {
		if got.Code != codes[i] || got.User != users[i] {
			w.t.Errorf("login %d is %v, of user %d; want %v, %d", i, got.Code, got.User, codes[i], users[i])
			continue
		}
		if got.Code != 0 {
			continue
		}
		f, n, err := protocol.Split(got.Frame, protocol.MaxFrame)
		var m protocol.Welcome
		if err != nil || n != len(got.Frame) || f.Type != protocol.TypeWelcome || f.Request != 100+uint32(i) || m.Decode(f.Payload) != nil || m.User != users[i] {
			w.t.Errorf("login %d is welcomed with %#x, request %d, %+v", i, f.Type, f.Request, m)
		}
		if got.Number <= last[got.User] || got.Heartbeat != 60 || got.Expires == 0 {
			w.t.Errorf("login %d: number %d after %d, heartbeat %d, expires %d", i, got.Number, last[got.User], got.Heartbeat, got.Expires)
		}
		last[got.User] = got.Number
	}
	if welcomes, err := w.Logic.Login(w.t.Context(), nil); err != nil || len(welcomes) != 0 {
		w.t.Errorf("no login: %d welcomes, %v", len(welcomes), err)
	}
}

func loginAlone(w *world) {
	first := w.device(1, 1)
	w.entered(first)
	w.device(1, 1) // draws a number that nobody binds
	w.wantKicked()
	w.entered(first)
	w.wantKicked()
}

func laterLoginReplaces(w *world) {
	first, second, third, other := w.device(1, 1), w.device(1, 1), w.device(1, 1), w.device(1, 2)
	w.entered(first, other)
	w.entered(third)
	w.wantKicked(first.Address())
	if codes := w.enter(second, other, first); !slices.Equal(codes, []protocol.Code{protocol.CodeReplaced, 0, protocol.CodeReplaced}) {
		w.t.Fatalf("behind a later login: %v", codes)
	}
	w.wantKicked(first.Address())
}

func enterAgain(w *world) {
	first, second := w.device(1, 1), w.device(1, 1)
	w.entered(first)
	w.entered(second)
	w.entered(second) // once more, as a call that was repeated does
	w.wantKicked(first.Address())
	if err := w.Logic.Logout(w.t.Context(), []hop.Binding{first}); err != nil { // late
		w.t.Fatal(err)
	}
	if codes := w.enter(first); codes[0] != protocol.CodeReplaced {
		w.t.Fatalf("the logout of a replaced connection took the other one out: %v", codes)
	}
	for range 2 {
		if err := w.Logic.Logout(w.t.Context(), []hop.Binding{second}); err != nil {
			w.t.Fatal(err)
		}
	}
	w.entered(first)
	w.wantKicked(first.Address())
}

func directoryAway(w *world) {
	first := w.device(1, 1)
	w.Away(true)
	login := hop.Login{Hello: protocol.Hello{Version: protocol.Version, Token: w.Token(1), Device: 1}}
	bad := hop.Login{Hello: protocol.Hello{Version: protocol.Version, Device: 1}}
	welcomes, err := w.Logic.Login(w.t.Context(), []hop.Login{login, bad})
	if err != nil || len(welcomes) != 2 || welcomes[0].Code != protocol.CodeLoginUnavailable || welcomes[1].Code != protocol.CodeBadToken {
		w.t.Errorf("login: %+v, %v", welcomes, err)
	}
	if codes := w.enter(first); codes[0] != protocol.CodeLoginUnavailable {
		w.t.Errorf("entering: %v", codes)
	}
	if err := w.Logic.Logout(w.t.Context(), []hop.Binding{first}); err == nil {
		w.t.Error("a logout that nobody heard has no error")
	}
	w.Away(false)
	w.entered(first)
}

// again is connections that are entered once more, under another epoch than before.
func again(was uint64, list ...hop.Binding) (all []hop.Rebinding) {
	for _, b := range list {
		b.Gateway = epoch + 1
		all = append(all, hop.Rebinding{Binding: b, Was: was})
	}
	return all
}

// bindAgain gives which of the list are lost.
func (w *world) bindAgain(list []hop.Rebinding) []uint32 {
	w.t.Helper()
	lost, err := w.Binder.BindAgain(w.t.Context(), list)
	if err != nil {
		w.t.Fatal(err)
	}
	return lost
}

func laterLoginsHold(w *world) {
	var list, later []hop.Binding
	for device := range uint64(6) {
		list = append(list, w.device(1, device+1))
	}
	w.entered(list...)
	for _, device := range []uint64{6, 1, 4} {
		later = append(later, w.device(1, device))
	}
	w.entered(later...)
	kicked := len(w.kicked())
	for range 2 { // the same again is safe
		if lost := w.bindAgain(again(epoch, list...)); !slices.Equal(lost, []uint32{0, 3, 5}) {
			w.t.Fatalf("%v are lost", lost)
		}
	}
	w.entered(later...) // are still there
	if n := len(w.kicked()); n != kicked {
		w.t.Errorf("%d connections were closed", n-kicked)
	}
	if lost := w.bindAgain(nil); len(lost) != 0 {
		w.t.Errorf("of none %v are lost", lost)
	}
}

func notItself(w *world) {
	own, forgotten := w.device(1, 1), w.device(2, 1)
	w.entered(own) // the directory has forgotten the other
	if lost := w.bindAgain(again(epoch, own, forgotten)); len(lost) != 0 {
		w.t.Fatalf("%v are lost", lost)
	}
	w.wantKicked()
	next := w.device(2, 1)
	w.entered(next)
	w.wantKicked(hop.Address{Gateway: epoch + 1, Conn: forgotten.Conn}) // it was entered
}

func awayLosesNobody(w *world) {
	first := w.device(1, 1)
	w.entered(first)
	w.Away(true)
	if lost, err := w.Binder.BindAgain(w.t.Context(), again(epoch, first)); err == nil {
		w.t.Fatalf("nobody answered, and %v are lost", lost)
	}
	w.Away(false)
	if lost := w.bindAgain(again(epoch, first)); len(lost) != 0 {
		w.t.Fatalf("%v are lost", lost)
	}
}
