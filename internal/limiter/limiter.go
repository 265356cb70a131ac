// Package limiter bounds how much one user or one address may ask for in a time.
package limiter

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Limiter is the port: buckets of tokens, one for each kind and subject. A bucket
// fills at its kind's rate up to its burst, and begins full. All methods are safe for
// concurrent use and never wait: an adapter whose buckets are shared by several
// processes leases tokens ahead of time.
type Limiter interface {
	// Take takes n tokens, all or none. 0: they were taken. Otherwise nothing was,
	// and it gives the time after which they would be there, at least a millisecond.
	// More than the burst is never there at once: it counts as the burst.
	Take(kind Kind, subject Subject, n int) (wait time.Duration)
}

// Sized is what a Limiter is too whose bursts are known. Whoever takes one token after
// the other may then take some ahead of time, a small part of a burst.
type Sized interface {
	// Burst gives how many tokens a bucket of the kind holds; 0: there is no limit.
	Burst(kind Kind) int
}

// Kind says what is limited.
type Kind uint8

// The kinds: the first two are of addresses, the others of users.
const (
	Connects Kind = iota
	FailedLogins
	Sends            // messages
	SendBytes        // of their bodies
	NewConversations // begun by a first message
	Syncs
	Histories
	Kinds // how many there are
)

// Subject is whoever has a bucket.
type Subject [16]byte

// User gives the subject of a user.
func User(id uint64) (s Subject) {
	binary.BigEndian.PutUint64(s[8:], id)
	return s
}

// Address gives the subject of an address: all of IPv4, the first 64 bits of IPv6,
// since whoever has one address there has that many.
func Address(a netip.Addr) Subject {
	if a = a.Unmap(); a.Is6() {
		p, _ := a.Prefix(64) // no zone: never fails
		a = p.Masked().Addr()
	}
	return a.As16()
}
