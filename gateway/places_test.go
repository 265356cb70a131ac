package gateway

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"gannet/internal/hop"
	"gannet/internal/limiter"
	"gannet/protocol"
)

// scriptedLimiter has the tokens that a test gives it; of a kind without an entry
// there are always enough.
type scriptedLimiter struct {
	mu     sync.Mutex
	tokens map[limiter.Kind]int
	wait   time.Duration // what it says when there is none
	taken  map[limiter.Kind]map[limiter.Subject]int
	broken bool
}

func newLimiter(wait time.Duration) *scriptedLimiter {
	return &scriptedLimiter{tokens: map[limiter.Kind]int{}, wait: wait, taken: map[limiter.Kind]map[limiter.Subject]int{}}
}

func (l *scriptedLimiter) Take(kind limiter.Kind, subject limiter.Subject, n int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken {
		panic("a bug in the limiter")
	}
	left, limited := l.tokens[kind]
	if limited && left < n {
		return l.wait
	}
	if limited {
		l.tokens[kind] = left - n
	}
	if l.taken[kind] == nil {
		l.taken[kind] = map[limiter.Subject]int{}
	}
	l.taken[kind][subject] += n
	return 0
}

func (l *scriptedLimiter) give(kind limiter.Kind, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tokens[kind] = n
}

func (l *scriptedLimiter) by(kind limiter.Kind, address string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.taken[kind][limiter.Address(netip.MustParseAddr(address))]
}

// turnedAway reads the CLOSE of a connection that is not let in and gives its code and
// retry_after.
func (p *peer) turnedAway() (protocol.Code, time.Duration) {
	p.t.Helper()
	f := p.next()
	var m protocol.Failure
	if err := m.Decode(f.Payload); err != nil || f.Type != protocol.TypeClose {
		p.t.Fatalf("came %v, %v", f.Type, err)
	}
	if f, err := p.read(); err == nil {
		p.t.Fatalf("frame %v after CLOSE", f.Type)
	}
	return m.Code, time.Duration(m.RetryAfter) * time.Millisecond
}

// Before login there is a share of the places. Where those who have sent HELLO take
// it, newcomers are refused; those who say nothing give way to them, the oldest first.
func TestConnectionsBeforeLoginHaveAShare(t *testing.T) {
	logic, gate := newLogic(), make(chan struct{})
	st := newStage(t, logic, Config{MaxConnections: 10, MaxBeforeLogin: 3, QueryWorkers: 4})
	in := []*peer{st.login(1), st.login(2)}
	logic.does(misdeed{login: func(login *hop.Login) (hop.Welcome, error) {
		<-gate
		w := protocol.Welcome{User: login.Hello.Device}
		return hop.Welcome{User: w.User, Number: 1, Heartbeat: 30, Frame: w.AppendFrame(nil, login.Request)}, nil
	}})
	first, second, third := st.silent("a first"), st.silent("a second"), st.silent("a third")
	st.turn(time.Duration(crowdedTicks) * tick)
	fourth := st.silent("a fourth")
	if code, retry := first.turnedAway(); code != protocol.CodeTooManyConnections || retry > drainRetry {
		t.Errorf("closed with %v, to come after %v", code, retry)
	}
	logins := []*peer{second, third, fourth}
	for i, p := range logins {
		p.send(hello(uint64(i + 3)))
	}
	st.eventually("all three log in", func() bool { return st.places.first() == nil })
	st.turn(time.Duration(crowdedTicks) * tick) // in which nobody gets in
	if code, _ := st.dial().turnedAway(); code != protocol.CodeTooManyConnections {
		t.Errorf("closed with %v", code)
	}
	if a, b := st.stat("connect.gave_way"), st.stat("connect.before_login"); a != 1 || b != 1 {
		t.Errorf("%d gave way, %d were refused", a, b)
	}
	close(gate)
	for _, p := range logins { // whoever logs in makes room
		if f := p.next(); f.Type != protocol.TypeWelcome {
			t.Fatalf("came %v", f.Type)
		}
	}
	mute := st.silent("another")
	for _, p := range append(in, logins...) {
		p.alive()
	}
	if taken, fresh := st.stat("places.taken"), st.stat("places.before_login"); taken != 6 || fresh != 1 {
		t.Errorf("%d places are taken, %d before login", taken, fresh)
	}
	mute.Close()
	st.eventually("its place is free", func() bool { return st.stat("places.taken") == 5 && st.stat("places.before_login") == 0 })
}

// silent connects, says nothing and waits for its place.
func (st *stage) silent(who string) *peer {
	st.t.Helper()
	n := st.stat("accepted")
	p := st.dial()
	st.eventually(who+" has its place", func() bool { return st.stat("accepted") == n+1 && st.places.last() == p.LocalAddr().String() })
	return p
}

// While those who take the places before login came a moment ago, newcomers are not
// accepted: they wait, and get in without a refusal.
func TestStormWaitsToBeAccepted(t *testing.T) {
	st := newStage(t, newLogic(), Config{MaxBeforeLogin: 2})
	first, second := st.silent("a first"), st.silent("a second")
	third := st.dial()
	third.send(hello(3))
	first.greet(1)
	second.greet(2)
	if f := third.next(); f.Type != protocol.TypeWelcome {
		t.Fatalf("came %v", f.Type)
	}
	if n := st.stat("connect.gave_way") + st.stat("connect.before_login"); n != 0 {
		t.Errorf("%d were refused", n)
	}
}

// One who is refused for the address makes nobody give way.
func TestNobodyGivesWayToOneWhoIsRefused(t *testing.T) {
	l := newLimiter(time.Second)
	st := newStage(t, newLogic(), Config{MaxBeforeLogin: 2, Limiter: l})
	first := st.silent("a first")
	st.silent("a second")
	l.give(limiter.Connects, 0)
	st.turn(time.Duration(crowdedTicks) * tick)
	if code, _ := st.dial().turnedAway(); code != protocol.CodeAddressLimited {
		t.Errorf("closed with %v", code)
	}
	first.greet(1)
	if n := st.stat("connect.gave_way"); n != 0 {
		t.Errorf("%d gave way", n)
	}
}

func (t *places) first() *place {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.oldest
}

func (t *places) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.newest == nil {
		return ""
	}
	return t.newest.from.String()
}

// Whoever opens connections without a word, as many as may be and again and again,
// keeps nobody out.
func TestSilentPeersKeepNobodyOut(t *testing.T) {
	st := newStage(t, newLogic(), Config{MaxBeforeLogin: 6})
	plain := st.address
	secure, pool := st.listenTLS()
	var silent []*peer
	for i := range 46 {
		st.address = []string{plain, secure}[i%2]
		if i >= 6 {
			st.turn(time.Duration(crowdedTicks) * tick)
		}
		silent = append(silent, st.silent("a silent one"))
		if i >= 6 {
			st.address = plain
			p := st.dial()
			p.greet(uint64(2*i + 1))
			p.Close()
			q := dialTLS(t, secure, pool)
			q.greet(uint64(2*i + 2))
			q.Close()
		}
	}
	if n := st.stat("connect.before_login"); n != 0 {
		t.Errorf("%d were refused", n)
	}
	// In each of 40 rounds three come and two log in; only in the first of them all
	// places are taken before.
	if n := st.stat("connect.gave_way"); n != 41 {
		t.Errorf("%d gave way", n)
	}
	for _, p := range silent {
		p.Close()
	}
	st.eventually("all are gone", func() bool { return st.stat("places.taken") == 0 })
	if st.places.first() != nil || st.places.newest != nil {
		t.Error("somebody is in the queue still")
	}
}

// The default share is a tenth.
func TestShareBeforeLoginByDefault(t *testing.T) {
	for _, c := range []struct{ connections, share int }{{20000, 2000}, {0, DefaultMaxConnections / 10}, {50, minBeforeLogin}} {
		st := newStage(t, newLogic(), Config{MaxConnections: c.connections})
		if st.places.maxNew != c.share {
			t.Errorf("of %d connections %d may be before login, not %d", c.connections, st.places.maxNew, c.share)
		}
	}
}

func TestConnectionsOfOneAddressAreLimited(t *testing.T) {
	st := newStage(t, newLogic(), Config{MaxPerAddress: 2})
	first := st.login(1)
	st.login(2)
	refused := st.dial()
	if code, _ := refused.turnedAway(); code != protocol.CodeAddressLimited {
		t.Errorf("closed with %v", code)
	}
	if n := st.stat("connect.address_places"); n != 1 {
		t.Errorf("%d refusals counted", n)
	}
	if n := st.stat("close.address_limited"); n != 1 {
		t.Errorf("%d closes counted", n)
	}
	st.dialFrom("127.0.0.2").greet(3) // another address is another matter
	first.Close()
	st.eventually("there is room again", func() bool { return st.stat("places.taken") == 2 })
	st.login(4).alive()
}

func TestConnectsOfOneAddressAreLimited(t *testing.T) {
	l := newLimiter(700 * time.Millisecond)
	l.give(limiter.Connects, 1)
	st := newStage(t, newLogic(), Config{Limiter: l})
	st.login(1).alive()
	retries := map[time.Duration]bool{}
	began := time.Now()
	for range 20 {
		code, retry := st.dial().turnedAway()
		if code != protocol.CodeAddressLimited {
			t.Fatalf("closed with %v", code)
		}
		if retry < l.wait || retry > l.wait+drainRetry {
			t.Errorf("may come again after %v, not between %v and %v", retry, l.wait, l.wait+drainRetry)
		}
		retries[retry] = true
	}
	if len(retries) < 10 {
		t.Errorf("20 clients come back at %d moments", len(retries))
	}
	if n := st.stat("connect.address_rate"); n != 20 {
		t.Errorf("%d refusals counted", n)
	}
	if n := st.stat("places.taken"); n != 1 {
		t.Errorf("%d places are taken", n)
	}
	if n := st.lines.most(); n > 1+int(time.Since(began).Seconds()) {
		t.Errorf("one line was logged %d times", n)
	}
	l.give(limiter.Connects, 1)
	st.login(2).alive()
}

// Whoever fails to log in too often is refused until there is a token again, also on
// connections that were made before.
func TestFailedLoginsOfOneAddressAreLimited(t *testing.T) {
	l := newLimiter(10 * tick)
	l.give(limiter.FailedLogins, 1)
	st := newStage(t, newLogic(), Config{Limiter: l})
	neighbour, waiting := st.login(1), st.dial()
	for range 2 { // one token, and one more
		p := st.dial()
		p.send(protocol.AppendEmpty(nil, protocol.TypePing, 1))
		if code := p.closed(); code != protocol.CodeHelloExpected {
			t.Fatalf("closed with %v", code)
		}
	}
	st.eventually("the failures are charged", func() bool {
		return st.places.greeted(&place{from: netip.MustParseAddrPort("127.0.0.1:1"), counted: true}) > 0
	})
	code, retry := st.dial().turnedAway()
	if code != protocol.CodeAddressLimited || retry < 10*tick || retry > 10*tick+drainRetry {
		t.Errorf("closed with %v, to come after %v", code, retry)
	}
	waiting.send(hello(9))
	if code := waiting.closed(); code != protocol.CodeAddressLimited {
		t.Errorf("closed with %v", code)
	}
	if n := st.stat("connect.failed_logins"); n != 2 {
		t.Errorf("%d refusals counted", n)
	}
	st.dialFrom("127.0.0.2").greet(2)
	neighbour.alive()
	st.turn(10 * tick)
	st.login(3).alive()
}

// Each code with which a HELLO must not come again is charged, what the network or the
// server did is not.
func TestWhatCountsAsAFailedLogin(t *testing.T) {
	for _, c := range []struct {
		code    protocol.Code
		charged int
	}{
		{protocol.CodeBadToken, 1}, {protocol.CodeTokenExpired, 1}, {protocol.CodeBadVersion, 1}, {protocol.CodeBadDevice, 1},
		{protocol.CodeLoginUnavailable, 0}, {protocol.CodeTooManySessions, 0},
	} {
		t.Run(c.code.String(), func(t *testing.T) {
			l := newLimiter(time.Second)
			logic := newLogic()
			logic.does(misdeed{login: func(*hop.Login) (hop.Welcome, error) { return hop.Welcome{Code: c.code}, nil }})
			st := newStage(t, logic, Config{Limiter: l})
			p := st.dial()
			p.send(hello(1))
			if code := p.closed(); code != c.code {
				t.Fatalf("closed with %v", code)
			}
			st.eventually("it is gone", func() bool { return st.stat("connections") == 0 })
			if n := l.by(limiter.FailedLogins, "127.0.0.1"); n != c.charged {
				t.Errorf("charged %d times", n)
			}
		})
	}
}

// A device that is closed after it logged in, whatever the code, has failed nothing.
func TestKickIsNoFailedLogin(t *testing.T) {
	l := newLimiter(time.Second)
	st := newStage(t, newLogic(), Config{Limiter: l})
	p := st.login(1)
	st.Kick(p.conn, protocol.CodeReplaced)
	p.closed()
	st.eventually("it is gone", func() bool { return st.stat("connections") == 0 })
	if n := l.by(limiter.FailedLogins, "127.0.0.1"); n != 0 {
		t.Errorf("charged %d times", n)
	}
}

// What is kept of addresses is bounded, and gone once they may come again.
func TestTableOfAddressesIsBounded(t *testing.T) {
	l := newLimiter(time.Second)
	l.give(limiter.FailedLogins, 0)
	var w wheel
	places := newPlaces(&Config{MaxConnections: 100, MaxBeforeLogin: 100, MaxPerAddress: 1, Limiter: l}, &w)
	for i := range 1000 {
		p := place{from: netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("10.0.%d.%d", i/250, i%250)), 1)}
		if r, _ := places.take(&p, false); r != admitted {
			t.Fatalf("refused as %s", refusalNames[r])
		}
		places.failed(&p)
		places.leave(&p)
		places.leave(&p) // as both ends of a connection may
	}
	if n := places.failing.len(); n != 100 {
		t.Errorf("%d addresses are kept", n)
	}
	if n := len(places.byAddress); n != 0 {
		t.Errorf("%d addresses have connections", n)
	}
	for range sweepTicks + int64(time.Second/tick) {
		w.advance(nil)
	}
	p := place{from: netip.MustParseAddrPort("10.0.0.1:1")}
	if r, _ := places.take(&p, false); r != admitted {
		t.Errorf("refused as %s", refusalNames[r])
	}
	if n := places.failing.len(); n != 0 {
		t.Errorf("%d addresses are kept after their time", n)
	}
	if taken, fresh := places.numbers(); taken != 1 || fresh != 1 {
		t.Errorf("%d places are taken, %d before login", taken, fresh)
	}
}
