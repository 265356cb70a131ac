package gateway

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gannet/internal/limiter"
	"gannet/protocol"
)

// places bounds how many connections there are: in all, before login, and of one
// address. A connection holds its place from accept to its end, also while it has not
// finished its TLS handshake or said HELLO. Nothing here waits.
type places struct {
	max        int
	maxNew     int // before login
	perAddress int
	limiter    limiter.Limiter // nil: nothing is limited in time
	wheel      *wheel

	mu        sync.Mutex
	taken     int
	fresh     int                       // of them before login
	byAddress map[limiter.Subject]int32 // of those whose address is known; no entry is 0

	// oldest and newest end the queue of those who have said nothing yet. Where the
	// places before login are taken, the oldest gives way to a newcomer: else whoever
	// opens connections and says nothing keeps everybody out, with a few of them.
	oldest, newest *place
	progress       int64 // tick at which somebody who had not logged in did, or left

	// failing are the addresses that failed to log in too often, until they may come
	// again. As many as there may be connections, so that who comes from many addresses
	// fills no memory.
	failing bans[limiter.Subject]
	sweepAt int64         // tick at which those that may come again are forgotten
	dropped atomic.Uint64 // of them, to make room for others
}

// place is what one connection holds.
type place struct {
	// from is whom limits and logs see. Behind a proxy it is the proxy until its
	// PROXY header is there. Only the goroutine that brings input changes it, under the
	// mutex of places, under which others read it.
	from netip.AddrPort

	taken   bool // guarded by the mutex of places, as what follows
	fresh   bool // not logged in
	counted bool // among those of its address

	holder       holder // in the queue of those who have said nothing; nil: it is not
	older, newer *place // its neighbours there
	since        int64  // tick since which it is there
}

// holder is whose place it is.
type holder interface {
	giveWay() // ends the connection; it does not wait
}

// refusal says why a connection is not let in.
type refusal uint8

const (
	admitted             refusal = iota
	refusedFull                  // all places are taken
	refusedBeforeLogin           // those before login are, by logins that are under way
	gaveWay                      // it said nothing for longest when those before login were taken
	refusedAddressPlaces         // those of the address are
	refusedConnects              // the address connects too fast
	refusedFailedLogins          // it failed to log in too often
	refusals                     // how many there are
)

// refusalNames are the counters of the debug endpoint.
var refusalNames = [refusals]string{"", "full", "before_login", "gave_way", "address_places", "address_rate", "failed_logins"}

// code is what the client hears.
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

// take gives a connection that was just accepted its place. Of a proxied one the
// address is not known yet: identify follows. One that is refused holds what it got
// until leave.
func (t *places) take(p *place, proxied bool) (refusal, time.Duration) {
	if !proxied { // first, so that nobody gives way to one who is refused
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

// enter takes a place, perhaps instead of somebody else.
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
		t.known(t.oldest) // among all places it counts until it is gone
	}
	t.taken++
	t.fresh++
	p.taken, p.fresh = true, true
	return admitted, instead
}

// crowded says that the places before login are taken by those who came a moment ago,
// as when all clients come back at once: whoever has not been accepted yet had better
// wait in the kernel than be refused, or have somebody give way whose HELLO is there
// and has not been read.
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
	if !p.fresh { // it gave way already
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

// identify puts the connection under the limits of the address from which it comes.
// A refusal says after which time that address may come again, if it knows.
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

// count notes whose connection it is and counts it among those of its address.
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

// known ends the time before login; mu is held.
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

// failed charges the address for a login that failed through the client's fault. A
// proxy itself is not charged.
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

// greeted says that HELLO is there, and for how long the address must not log in; 0:
// it may. Whoever connected before the address was refused hears it here.
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
