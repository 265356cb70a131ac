package gateway

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gannet/internal/limiter"
	"gannet/protocol"
)

// places bounds the number of connections: in all, before login, and for each address. A
// connection holds its place from accept to its end, even before it has finished its TLS
// handshake or sent HELLO. Nothing here waits.
type places struct {
	max        int
	maxNew     int // before login
	perAddress int
	limiter    limiter.Limiter // nil: no limits on rates
	wheel      *wheel

	mu        sync.Mutex
	taken     int
	fresh     int                       // those of taken that have not logged in
	byAddress map[limiter.Subject]int32 // how many connections each address has; no entry is 0

	// oldest and newest are the ends of the queue of connections that have sent nothing yet. If
	// all places before login are taken, the oldest gives way to a newcomer. Otherwise somebody
	// could keep everybody out with a few connections that send nothing.
	oldest, newest *place
	progress       int64 // tick at which a connection last logged in, or ended before it did

	// failing are the addresses that failed to log in too often, with the time when they may come
	// again. There are at most as many as connections, so that an attacker with many addresses
	// does not fill the memory.
	failing bans[limiter.Subject]
	sweepAt int64         // tick of the next sweep of failing
	dropped atomic.Uint64 // addresses that left failing early, to make room for others
}

// place is the place of one connection.
type place struct {
	// from is the address for limits and logs. For a proxied connection it is the proxy until the
	// PROXY header has arrived. Only the goroutine that brings input changes it, under the mutex
	// of places, and others read it under that mutex.
	from netip.AddrPort

	taken   bool // guarded by the mutex of places, like all fields below
	fresh   bool // not logged in
	counted bool // it counts among the connections of its address

	holder       holder // while it is in the queue of those that have sent nothing; else nil
	older, newer *place // its neighbours there
	since        int64  // tick since which it is there
}

// holder is the connection that has a place.
type holder interface {
	giveWay() // ends the connection; it does not wait
}

// refusal says why a connection is not let in.
type refusal uint8

const (
	admitted             refusal = iota
	refusedFull                  // all places are taken
	refusedBeforeLogin           // all places before login are taken, by logins that are under way
	gaveWay                      // it had sent nothing for longest when a place was needed
	refusedAddressPlaces         // all places of its address are taken
	refusedConnects              // the address connects too fast
	refusedFailedLogins          // it failed to log in too often
	refusals                     // how many there are
)

// refusalNames are the names in the counters.
var refusalNames = [refusals]string{"", "full", "before_login", "gave_way", "address_places", "address_rate", "failed_logins"}

// code is the code of the CLOSE.
func (r refusal) code() protocol.Code {
	if r <= gaveWay {
		return protocol.CodeTooManyConnections
	}
	return protocol.CodeAddressLimited
}

func newPlaces(c *Config, w *wheel) places {
	return places{
		max: c.MaxConnections, maxNew: c.MaxBeforeLogin, perAddress: c.MaxPerAddress,
		limiter: c.Limiter, wheel: w,
		byAddress: map[limiter.Subject]int32{}, failing: bans[limiter.Subject]{max: c.MaxConnections},
	}
}

// take gives a place to a connection that was just accepted. The address of a proxied connection
// is not known yet; identify follows later. A refused connection keeps what it got until leave.
func (t *places) take(p *place, proxied bool) (refusal, time.Duration) {
	if !proxied { // before enter, so that nobody gives way to a connection that is refused anyway
		if r, wait := t.identify(p, p.from); r != admitted {
			return r, wait
		}
	}
	r, instead := t.enter(p)
	if instead != nil {
		instead.giveWay()
	}
	return r, 0
}

// enter takes a place. instead is the connection that must give way for it, if any.
func (t *places) enter(p *place) (r refusal, instead holder) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken >= t.max {
		return refusedFull, nil
	}
	if t.fresh >= t.maxNew {
		if t.oldest == nil {
			return refusedBeforeLogin, nil
		}
		instead = t.oldest.holder
		t.known(t.oldest) // it still counts in taken until it ends
	}
	t.taken++
	t.fresh++
	p.taken, p.fresh = true, true
	return admitted, instead
}

// crowded says that the places before login are taken by connections that came a moment ago, as
// when all clients come back at once. Newcomers then wait in the kernel. Otherwise they would be
// refused, or one would have to give way whose HELLO has arrived and was not read yet.
func (t *places) crowded() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.progress
	if t.oldest != nil {
		last = t.oldest.since
	}
	return t.fresh >= t.maxNew && t.wheel.now()-last < crowdedTicks
}

// wait puts a connection at the end of the queue of those who have said nothing.
func (t *places) wait(p *place, h holder) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unlink(p)
	if !p.fresh { // it has already given way
		return
	}
	p.holder, p.older, p.since = h, t.newest, t.wheel.now()
	if t.newest != nil {
		t.newest.newer = p
	} else {
		t.oldest = p
	}
	t.newest = p
}

// unlink takes a connection out of the queue, if it is there; mu is held.
func (t *places) unlink(p *place) {
	if p.holder == nil {
		return
	}
	if p.older != nil {
		p.older.newer = p.newer
	} else {
		t.oldest = p.newer
	}
	if p.newer != nil {
		p.newer.older = p.older
	} else {
		t.newest = p.older
	}
	p.holder, p.older, p.newer = nil, nil, nil
}

// identify counts the connection for its address and applies the limits of the address. A refusal
// comes with the time until that address may come again, or 0 if that is not known.
func (t *places) identify(p *place, from netip.AddrPort) (refusal, time.Duration) {
	address := limiter.Address(from.Addr())
	if r, wait := t.count(p, from, address); r != admitted {
		return r, wait
	}
	if t.limiter != nil {
		if wait := t.limiter.Take(limiter.Connects, address, 1); wait > 0 {
			return refusedConnects, wait
		}
	}
	return admitted, 0
}

// whose gives the address that a connection comes from, as far as it is known.
func (t *places) whose(p *place) netip.AddrPort {
	t.mu.Lock()
	defer t.mu.Unlock()
	return p.from
}

// count sets the address of a connection and counts it for that address.
func (t *places) count(p *place, from netip.AddrPort, address limiter.Subject) (refusal, time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p.from = from
	t.sweep()
	if wait := t.failing.left(address, t.wheel.now()); wait > 0 {
		return refusedFailedLogins, time.Duration(wait) * tick
	}
	if int(t.byAddress[address]) >= t.perAddress {
		return refusedAddressPlaces, 0
	}
	t.byAddress[address]++
	p.counted = true
	return admitted, 0
}

// loggedIn frees the connection's place before login.
func (t *places) loggedIn(p *place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known(p)
}

// known frees the place before login. The caller holds mu.
func (t *places) known(p *place) {
	t.unlink(p)
	if p.fresh {
		p.fresh = false
		t.fresh--
		t.progress = t.wheel.now()
	}
}

// leave gives up all that the connection holds. Further calls do nothing.
func (t *places) leave(p *place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known(p)
	if p.taken {
		p.taken = false
		t.taken--
	}
	if p.counted {
		p.counted = false
		address := limiter.Address(p.from.Addr())
		if t.byAddress[address]--; t.byAddress[address] == 0 {
			delete(t.byAddress, address)
		}
	}
}

// failed charges the address for a login that failed through the client's fault. The address of a
// proxy is never charged.
func (t *places) failed(p *place) {
	if t.limiter == nil || !t.isCounted(p) {
		return
	}
	address := limiter.Address(p.from.Addr())
	wait := t.limiter.Take(limiter.FailedLogins, address, 1)
	if wait <= 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep()
	now := t.wheel.now()
	if t.failing.add(address, now+int64((wait+tick-1)/tick), now) {
		t.dropped.Add(1)
	}
}

func (t *places) isCounted(p *place) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return p.counted
}

// greeted notes that HELLO has arrived. wait is how long the address must not log in; 0: it may.
// It is for connections that were accepted before their address was banned.
func (t *places) greeted(p *place) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unlink(p)
	if t.failing.len() == 0 || !p.counted {
		return 0
	}
	return time.Duration(t.failing.left(limiter.Address(p.from.Addr()), t.wheel.now())) * tick
}

// sweep forgets the addresses that may come again; mu is held.
func (t *places) sweep() {
	now := t.wheel.now()
	if now < t.sweepAt || t.failing.len() == 0 {
		return
	}
	t.sweepAt = now + sweepTicks
	t.failing.sweep(now)
}

// numbers gives the places that are taken, in all and before login.
func (t *places) numbers() (taken, fresh int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.taken, t.fresh
}
