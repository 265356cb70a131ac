// Package limiter bounds how much one user or one address may ask for in a time.
package limiter

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Limiter is the port: buckets of tokens, one for each kind and subject. A bucket fills at the rate
// of its kind up to its burst, and begins full. All methods are safe for concurrent use and never
// wait. An adapter whose buckets several processes share decides by itself at first, and corrects
// itself afterwards.
type Limiter interface {
	// Take takes n tokens, or none. It returns 0 if it took them. Otherwise it returns the time
	// after which they will be there, at least a millisecond. A bucket never has more than its
	// burst, so a larger n counts as the burst.
	Take(kind Kind, subject Subject, n int) (wait time.Duration)
}

// Sized is implemented by a Limiter whose bursts are known. A caller that takes one token after the
// other may then take some ahead of time, a small part of a burst.
type Sized interface {
	// Burst gives how many tokens a bucket of the kind holds; 0: there is no limit.
	Burst(kind Kind) int
}

// Kind says what is limited.
type Kind uint8

// The kinds. The first two limit addresses, the others limit users.
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

// Address gives the subject of an address: the whole IPv4 address, or the first 64 bits of an IPv6
// address, because whoever has one address there has the other 64 bits, too.
func Address(a netip.Addr) Subject {
	if a = a.Unmap(); a.Is6() {
		p, _ := a.Prefix(64) // no zone: never fails
		a = p.Masked().Addr()
	}
	return a.As16()
}
