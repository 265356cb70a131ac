package gateway

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"gannet/internal/hop"
	"gannet/protocol"
)

// binder is a Binder that does what a test says.
type binder struct {
	mu    sync.Mutex
	calls [][]hop.Rebinding
	does  func([]hop.Rebinding) ([]uint32, error) // nil: well
}

func (b *binder) BindAgain(_ context.Context, again []hop.Rebinding) ([]uint32, error) {
	b.mu.Lock()
	b.calls = append(b.calls, slices.Clone(again))
	does := b.does
	b.mu.Unlock()
	if does == nil {
		return nil, nil
	}
	return does(again)
}

func (b *binder) is(does func([]hop.Rebinding) ([]uint32, error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.does = does
}

// bound gives the users that the calls so far were about, sorted.
func (b *binder) bound() (users []uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, call := range b.calls {
		for _, x := range call {
			users = append(users, x.User)
		}
	}
	slices.Sort(users)
	return users
}

func newBinderStage(t *testing.T) (*stage, *binder) {
	b := &binder{}
	return newStage(t, newLogic(), Config{Binder: b}), b
}

// hinted waits for a hint of everything.
func (p *peer) hinted() {
	p.t.Helper()
	var hint protocol.Cursor
	if f := p.next(); f.Type != protocol.TypeHint || hint.Decode(f.Payload) != nil || hint != (protocol.Cursor{}) {
		p.t.Fatalf("got %#x %+v, not a hint of everything", f.Type, hint)
	}
}

// Under a new epoch every connection is bound again by the number of its login and hinted
// to sync after it; one that a later login has replaced is closed. Whatever it does from
// then on is of the new epoch.
func TestRenew(t *testing.T) {
	st, b := newBinderStage(t)
	before := st.Epoch()
	peers := []*peer{st.login(1), st.login(2), st.login(3)}
	b.is(func(again []hop.Rebinding) (lost []uint32, err error) {
		for i, x := range again {
			if x.Gateway != 77 || x.Was != before || x.Number != 1 || x.Device != x.User || x.Conn != peers[x.User-1].conn {
				t.Errorf("bound again: %+v", x)
			}
			if x.User == 2 {
				lost = append(lost, uint32(i))
			}
		}
		return lost, nil
	})
	st.Renew(77)
	if st.Epoch() != 77 {
		t.Errorf("the epoch is %d", st.Epoch())
	}
	peers[0].hinted()
	peers[2].hinted()
	if code := peers[1].closed(); code != protocol.CodeReplaced {
		t.Errorf("the one that was replaced is closed with %v", code)
	}
	if got := b.bound(); !slices.Equal(got, []uint64{1, 2, 3}) {
		t.Errorf("bound are %d", got)
	}
	peers[0].send(protocol.Cursor{Target: protocol.Target{Kind: protocol.KindDirect, ID: 9}, Seq: 1}.AppendPushAck(nil, 0))
	peers[2].Close()
	var epoch uint64
	st.eventually("the batch and the logout", func() bool {
		st.logic.mu.Lock()
		defer st.logic.mu.Unlock()
		if len(st.logic.batches) != 1 || len(st.logic.loggedOut) != 2 {
			return false
		}
		epoch = st.logic.batches[0][0].Gateway
		return true
	})
	if epoch != 77 {
		t.Errorf("a batch is of epoch %d", epoch)
	}
	for _, over := range st.logic.over() {
		if want := map[uint64]uint64{2: before, 3: 77}[over.User]; over.Gateway != want {
			t.Errorf("user %d is logged out of epoch %d, want %d", over.User, over.Gateway, want)
		}
	}
	st.eventually("both hints are counted", func() bool { return st.stat("bind.hinted") == 2 })
	for name, want := range map[string]uint64{"epochs": 1, "bind.again": 3, "bind.lost": 1, "bind.failed": 0} {
		if n := st.stat(name); n != want {
			t.Errorf("%s is %d, want %d", name, n, want)
		}
	}
}

// A bind that fails is tried until it succeeds, and nobody is hinted before.
func TestRenewWhileLogicIsAway(t *testing.T) {
	st, b := newBinderStage(t)
	p := st.login(1)
	b.is(func([]hop.Rebinding) ([]uint32, error) { return nil, errors.New("away") })
	st.Renew(77)
	more := func(what string, n uint64) {
		t.Helper()
		before := st.stat("bind.failed")
		st.eventually(what, func() bool { return st.stat("bind.failed") >= before+n })
	}
	more("two tries", 2)
	b.is(func(again []hop.Rebinding) ([]uint32, error) { return []uint32{uint32(len(again))}, nil }) // nonsense
	// The first may be of before.
	more("others", 2)
	p.alive() // and has got no hint
	b.is(func([]hop.Rebinding) ([]uint32, error) { panic("a bug") })
	more("others after that", 2)
	b.is(nil)
	p.hinted()
	st.eventually("it is counted", func() bool { return st.stat("bind.hinted") == 1 })
}

// A login that logic entered under the epoch before is bound again once it is let in.
func TestRenewAmidALogin(t *testing.T) {
	st, b := newBinderStage(t)
	before := st.Epoch()
	st.logic.does(misdeed{login: func(login *hop.Login) (hop.Welcome, error) {
		st.logic.does(misdeed{})
		st.Renew(77)
		return st.logic.logIn(login)
	}})
	p := st.login(5)
	p.hinted()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.calls) != 1 || len(b.calls[0]) != 1 || b.calls[0][0].Was != before || b.calls[0][0].Gateway != 77 || b.calls[0][0].User != 5 {
		t.Errorf("bound again: %+v", b.calls)
	}
}

// A login is bound again once it is let in, if the directory may have lost it meanwhile.
func TestBindAgainAmidALogin(t *testing.T) {
	st, b := newBinderStage(t)
	st.logic.does(misdeed{login: func(login *hop.Login) (hop.Welcome, error) {
		st.logic.does(misdeed{})
		st.BindAgain(func(uint64) bool { return true })
		return st.logic.logIn(login)
	}})
	st.login(5).hinted()
	st.login(6).alive()
	if got := b.bound(); !slices.Equal(got, []uint64{5}) {
		t.Errorf("bound again are %d", got)
	}
}

// A connection that ends while it is bound again is taken out of the directory once more.
func TestEndAmidABind(t *testing.T) {
	st, b := newBinderStage(t)
	p := st.login(1)
	entered, gate := make(chan struct{}), make(chan struct{})
	b.is(func([]hop.Rebinding) ([]uint32, error) {
		entered <- struct{}{}
		<-gate
		return nil, nil
	})
	before := st.Epoch()
	st.Renew(77)
	<-entered
	p.Close()
	loggedOut := func() (epochs []uint64) {
		st.logic.mu.Lock()
		defer st.logic.mu.Unlock()
		for _, over := range st.logic.loggedOut {
			epochs = append(epochs, over.Gateway)
		}
		return epochs
	}
	st.eventually("the logout", func() bool { return len(loggedOut()) == 1 })
	close(gate)
	st.eventually("the second logout", func() bool { return len(loggedOut()) == 2 })
	if got := loggedOut(); !slices.Equal(got, []uint64{before, 77}) {
		t.Errorf("logged out of epochs %d", got)
	}
}

// Where the directory may have lost some users, these are bound again, and no others.
func TestBindAgainSome(t *testing.T) {
	st, b := newBinderStage(t)
	one, two, three := st.login(1), st.login(2), st.login(3)
	st.dial() // has not logged in
	st.BindAgain(func(user uint64) bool { return user != 2 })
	one.hinted()
	three.hinted()
	two.alive()
	if got := b.bound(); !slices.Equal(got, []uint64{1, 3}) {
		t.Errorf("bound are %d", got)
	}
	if st.Connections() != 4 {
		t.Errorf("%d connections", st.Connections())
	}
}

// Many are bound in several calls, each once, and all are hinted.
func TestRenewMany(t *testing.T) {
	st, b := newBinderStage(t)
	const n = againMost + 50
	for range n {
		st.login(9)
	}
	st.Renew(77)
	st.eventually("all hints", func() bool { return st.stat("bind.hinted") == n })
	if got := b.bound(); len(got) != n || len(b.calls) < 2 {
		t.Errorf("%d connections were bound in %d calls", len(got), len(b.calls))
	}
	if !slices.ContainsFunc(b.calls, func(call []hop.Rebinding) bool { return len(call) > againMost/2 }) {
		t.Error("they were bound one by one")
	}
}
