package gateway

import (
	"math"
	"sync/atomic"
	"testing"
	"time"

	"gannet/internal/hop"
	"gannet/protocol"
)

// wall is a wall clock that a test turns.
type wall struct{ atomic.Int64 }

func (w *wall) now() time.Time { return time.Unix(w.Load(), 0) }

// beginning is the time of a wall clock at the start of a test.
const beginning = 1_700_000_000

// expiring makes a gateway whose logins end at this time.
func expiring(t *testing.T, expires int64) (*stage, *wall) {
	clock := &wall{}
	clock.Store(beginning)
	l := newLogic()
	st := newStage(t, l, Config{Now: clock.now})
	l.does(misdeed{login: func(login *hop.Login) (hop.Welcome, error) {
		user := uint64(login.Hello.Token[0])
		l.loggedIn <- hop.Identity{Conn: login.Conn, User: user}
		return hop.Welcome{User: user, Number: 1, Heartbeat: 60, Expires: expires, Frame: protocol.Welcome{User: user}.AppendFrame(nil, login.Request)}, nil
	}})
	return st, clock
}

// pass has both clocks go on; the clients say something every so often.
func (st *stage) pass(clock *wall, d time.Duration, clients ...*peer) {
	for range d / time.Second {
		for _, p := range clients {
			p.alive()
		}
		clock.Add(1)
		st.turn(time.Second)
	}
}

func TestConnectionEndsWithItsToken(t *testing.T) {
	st, clock := expiring(t, beginning+100)
	p := st.login(1)
	st.push([]delivery{{pushFrame(2, 1, 1, 10), []uint64{p.conn}}}) // other deadlines come before
	if f := p.next(); f.Type != protocol.TypePush {
		t.Fatalf("came %v", f.Type)
	}
	st.pass(clock, 99*time.Second, p)
	p.alive()
	clock.Add(1)
	st.turn(time.Second + tick)
	if code := p.closed(); code != protocol.CodeTokenExpired {
		t.Errorf("closed with %v", code)
	}
	st.eventually("it is counted", func() bool { return st.stat("close.token_expired") == 1 })
}

// Whatever logic says is taken as a time.
func TestStrangeEndsOfTokens(t *testing.T) {
	for expires, ends := range map[int64]bool{
		0: false, math.MaxInt64: false, beginning + 1<<40: false, beginning + 3*24*60*60: false,
		1: true, -1: true, math.MinInt64: true, beginning - 1: true, beginning: true,
	} {
		st, clock := expiring(t, expires)
		p := st.login(1) // WELCOME comes in any case
		if !ends {
			st.pass(clock, 10*time.Minute, p)
			p.alive()
			continue
		}
		st.turn(2 * tick)
		if code := p.closed(); code != protocol.CodeTokenExpired {
			t.Errorf("one that ends at %d was closed with %v", expires, code)
		}
	}
}

// A clock that jumps ahead ends connections within two heartbeat intervals, one that is set back
// keeps them until it says that it is time.
func TestWallClockThatJumps(t *testing.T) {
	st, clock := expiring(t, beginning+1000)
	p, q := st.login(1), st.login(2)
	clock.Add(-500)
	st.pass(clock, 1400*time.Second, p, q)
	p.alive()
	clock.Store(beginning + 5000)
	for range 130 { // the silence that two heartbeats allow
		st.turn(time.Second)
	}
	for _, p := range []*peer{p, q} {
		if code := p.closed(); code != protocol.CodeTokenExpired {
			t.Errorf("closed with %v", code)
		}
	}
	st.eventually("both are counted", func() bool { return st.stat("close.token_expired") == 2 })
}

// However the wall clock jumps, who says something in time stays, and who does not is
// closed when it is with a clock that goes right.
func TestHeartbeatsHeedNoWallClock(t *testing.T) {
	const hour = 60 * 60
	silent := func(jumps ...int64) (lasted time.Duration) {
		st, clock := expiring(t, 0)
		p, q := st.login(1), st.login(2)
		st.pass(clock, 5*time.Second, p, q)
		silent := st.sessions.get(q.conn)
		for silent.phase.Load() != phaseClosing {
			if lasted += time.Second; lasted > 10*time.Minute {
				t.Fatal("nobody is closed who says nothing")
			}
			if len(jumps) > 0 {
				clock.Add(jumps[int(lasted/time.Second)%len(jumps)])
			}
			p.alive()
			st.turn(time.Second)
		}
		if code := q.closed(); code != protocol.CodeHeartbeatTimeout {
			t.Errorf("with jumps of %v it was closed with %v", jumps, code)
		}
		st.pass(clock, 3*time.Minute, p)
		p.alive()
		return lasted
	}
	want := silent()
	for _, jumps := range [][]int64{{-hour}, {hour}, {hour, -2 * hour, 0, hour}, {-beginning / 2, 0, beginning}} {
		if got := silent(jumps...); (got - want).Abs() > 2*time.Second { // the close is counted beside the wheel
			t.Errorf("with jumps of %v a silent connection lasted %v, else %v", jumps, got, want)
		}
	}
}
