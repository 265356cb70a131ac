package gateway

import (
	"maps"
	"net/netip"
	"sync"
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

	// failing are the addresses that failed to log in too often, with the tick at
	// which they may come again. As many as there may be connections, so that who
	// comes from many addresses fills no memory.
	failing map[limiter.Subject]int64
	sweepAt int64 // tick at which those that may come again are forgotten
}

// place is what one connection holds.
type place struct {
	// from is whom limits and logs see. Behind a proxy it is the proxy until its
	// PROXY header is there. Only the goroutine that brings input changes it.
	from netip.AddrPort

	taken   bool // guarded by the mutex of places, as what follows
	fresh   bool // not logged in
	counted bool // among those of its address
}

// refusal says why a connection is not let in.
type refusal uint8

const (
	admitted             refusal = iota
	refusedFull                  // all places are taken
	refusedBeforeLogin           // those before login are
	refusedAddressPlaces         // those of the address are
	refusedConnects              // the address connects too fast
	refusedFailedLogins          // it failed to log in too often
	refusals                     // how many there are
)

// refusalNames are the counters of the debug endpoint.
var refusalNames = [refusals]string{"", "full", "before_login", "address_places", "address_rate", "failed_logins"}

// code is what the client hears.
func (r refusal) code() protocol.Code {
	if r <= refusedBeforeLogin {
		return protocol.CodeTooManyConnections
	}
	return protocol.CodeAddressLimited
}

func newPlaces(c *Config, w *wheel) places {
	return places{
		max: c.MaxConnections, maxNew: c.MaxBeforeLogin, perAddress: c.MaxPerAddress,
		limiter: c.Limiter, wheel: w,
		byAddress: map[limiter.Subject]int32{}, failing: map[limiter.Subject]int64{},
	}
}

// take gives a connection that was just accepted its place. Of a proxied one the
// address is not known yet: identify follows. One that is refused holds what it got
// until leave.
func (t *places) take(p *place, proxied bool) (refusal, time.Duration) {
	if r := t.enter(p); r != admitted || proxied {
		return r, 0
	}
	return t.identify(p, p.from)
}

func (t *places) enter(p *place) refusal {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.taken >= t.max:
		return refusedFull
	case t.fresh >= t.maxNew:
		return refusedBeforeLogin
	}
	t.taken++
	t.fresh++
	p.taken, p.fresh = true, true
	return admitted
}

// identify puts the connection under the limits of the address from which it comes.
// A refusal says after which time that address may come again, if it knows.
func (t *places) identify(p *place, from netip.AddrPort) (refusal, time.Duration) {
	p.from = from
	address := limiter.Address(from.Addr())
	if r, wait := t.count(p, address); r != admitted {
		return r, wait
	}
	if t.limiter != nil {
		if wait := t.limiter.Take(limiter.Connects, address, 1); wait > 0 {
			return refusedConnects, wait
		}
	}
	return admitted, 0
}

func (t *places) count(p *place, address limiter.Subject) (refusal, time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep()
	if wait := t.failing[address] - t.wheel.now(); wait > 0 {
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

func (t *places) known(p *place) {
	if p.fresh {
		p.fresh = false
		t.fresh--
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
	if len(t.failing) < t.max {
		t.failing[address] = t.wheel.now() + int64((wait+tick-1)/tick)
	}
}

func (t *places) isCounted(p *place) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return p.counted
}

// mayLogin says for how long the address must not try to log in, 0: it may. Whoever
// connected before the address was refused hears it here.
func (t *places) mayLogin(p *place) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.failing) == 0 || !p.counted {
		return 0
	}
	return max(0, time.Duration(t.failing[limiter.Address(p.from.Addr())]-t.wheel.now())*tick)
}

// sweep forgets the addresses that may come again; mu is held.
func (t *places) sweep() {
	now := t.wheel.now()
	if now < t.sweepAt || len(t.failing) == 0 {
		return
	}
	t.sweepAt = now + sweepTicks
	maps.DeleteFunc(t.failing, func(_ limiter.Subject, until int64) bool { return until <= now })
}

// numbers gives the places that are taken, in all and before login.
func (t *places) numbers() (taken, fresh int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.taken, t.fresh
}
