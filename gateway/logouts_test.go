package gateway

import (
	"slices"
	"testing"

	"gannet/internal/hop"
)

// leavers logs users out of a gateway whose logic takes each Logout from calls and
// answers it from answers.
type leavers struct {
	*stage
	calls   chan []hop.Binding
	answers chan error
}

func newLeavers(t *testing.T) *leavers {
	l := newLogic()
	v := &leavers{newStage(t, l, Config{}), make(chan []hop.Binding), make(chan error)}
	l.does(misdeed{logout: func(over []hop.Binding) error {
		v.calls <- slices.Clone(over)
		return <-v.answers
	}})
	return v
}

func (v *leavers) users(want ...uint64) {
	v.t.Helper()
	var got []uint64
	for _, b := range <-v.calls {
		got = append(got, b.User)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		v.t.Fatalf("logged out: %d, want %d", got, want)
	}
}

// While one Logout is under way, who goes gathers for the next, and nobody waits.
func TestLogoutsGoInBatches(t *testing.T) {
	v := newLeavers(t)
	stays := v.login(9)
	v.login(1).Close()
	v.users(1)
	for user := uint64(2); user <= 20; user++ {
		v.login(user).Close()
	}
	v.eventually("they are gone", func() bool { return v.stat("connections") == 1 })
	stays.alive()
	v.answers <- nil
	v.users(2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20)
	v.answers <- nil
	v.logic.does(misdeed{})
	if n := v.stat("logic.failed") + v.stat("logic.logouts"); n != 0 {
		t.Errorf("%d failures counted", n)
	}
}

// A Logout that fails is said again, with the same connections, and not for ever.
func TestLogoutsAreRepeated(t *testing.T) {
	v := newLeavers(t)
	v.login(1).Close()
	for range logoutTries - 1 {
		v.users(1)
		v.answers <- errHostile
	}
	v.users(1)
	v.login(2).Close()
	v.eventually("it is gone", func() bool { return v.stat("connections") == 0 })
	v.answers <- nil
	if n := v.stat("logic.logouts"); n != 0 {
		t.Errorf("%d given up after a try that went well", n)
	}
	for range logoutTries {
		v.users(2)
		v.answers <- errHostile
	}
	v.eventually("it is given up", func() bool { return v.stat("logic.logouts") == 1 })
	v.login(3).Close()
	v.users(3)
	v.answers <- nil
	v.logic.does(misdeed{})
	if n := v.stat("logic.failed"); n != 2*logoutTries-1 {
		t.Errorf("%d failures counted", n)
	}
}

func TestLogoutsAreBounded(t *testing.T) {
	v := newLeavers(t)
	v.login(1).Close()
	v.users(1)
	for i := range uint64(maxLogouts + 3) {
		v.logouts.add(hop.Binding{Identity: hop.Identity{User: i}})
	}
	if n := v.stat("logic.logouts"); n != 3 {
		t.Errorf("%d of 3 too many were counted", n)
	}
	v.answers <- nil
	if n := len(<-v.calls); n != maxLogouts {
		t.Errorf("%d were told", n)
	}
	v.logic.does(misdeed{})
	v.answers <- nil
}
