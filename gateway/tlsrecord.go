package gateway

import (
	"errors"

	"gannet/protocol"
)

// recordHeader is the size of the header of a TLS record, whose last two bytes are the
// length of what follows (RFC 8446, 5.1).
const recordHeader = 5

// handshakeBytes bounds what a client sends in its handshake, and crypto/tls keeps of it:
// a ClientHello has two KB with the largest keys there are, and behind its Finished there
// may be a HELLO and more in the same packet.
const handshakeBytes = 32 << 10

var errLongHandshake = errors.New("gateway: the handshake is too long")

// record follows where the records of a TLS connection begin and end. crypto/tls makes
// room for a whole one as soon as its header is there, so 5 bytes hold 16 KiB for as long
// as the client pleases: begun frames of which the session sees nothing.
type record struct {
	header [recordHeader]byte
	have   int   // bytes of the record that is under way; 0: none is
	over   int64 // records that came whole
}

// pass takes note of bytes that are handed on.
func (r *record) pass(b []byte) {
	for len(b) > 0 {
		if r.have < recordHeader {
			n := copy(r.header[r.have:], b)
			r.have += n
			b = b[n:]
			continue
		}
		n := min(r.length()-r.have, len(b))
		r.have += n
		b = b[n:]
		r.end()
	}
	r.end() // an empty one
}

// end ends the record that is under way if it is whole.
func (r *record) end() {
	if r.have >= recordHeader && r.have == r.length() {
		r.have = 0
		r.over++
	}
}

// length gives how long the record is whose header is there.
func (r *record) length() int { return recordHeader + int(r.header[3])<<8 + int(r.header[4]) }

// holds gives the memory that a record holds that is under way; room is what it goes on
// in.
func (r *record) holds(room []byte) int64 {
	if r.have == 0 {
		return 0
	}
	return int64(r.have + len(room))
}

const (
	// recordTokens is as how many frames a record counts that brings none, nor recordBytes
	// of one: a record by itself costs as much as many of the shortest frames, and one that
	// has crypto/tls derive new keys (KeyUpdate) some 15 microseconds.
	recordTokens = 4
	recordBytes  = 1 << 10

	// earlyRecords bounds those before the login, which is one record, or a few where
	// somebody writes HELLO in pieces.
	earlyRecords = 64
)

var errManyRecords = errors.New("gateway: too many records that bring nothing")

// fair says whether the connection may go on, after records that brought more frames, or
// more bytes of one, than there were records, or not.
func (c *tlsConn) fair() bool {
	s := c.session
	surplus := c.record.over - s.taken - c.brought/recordBytes - c.charged
	if surplus <= 0 {
		return true
	}
	c.charged += surplus
	return s.paysRecords(surplus)
}

// paysRecords takes the tokens of records that bring nothing, whether they are there or
// not, and ends a connection that is far beyond them.
func (s *session) paysRecords(records int64) bool {
	g := s.gateway
	switch s.phase.Load() {
	case phaseClosing:
		return false
	case phaseOnline:
		if g.pace.each == 0 {
			return true
		}
		now := g.wheel.now()
		s.passesLate(now, int(records)*recordTokens)
		if s.filled.Load()-now*int64(tick) <= 2*g.pace.full {
			return true
		}
		s.offend()
	default:
		if s.early += records; s.early <= earlyRecords {
			return true
		}
		g.places.failed(s.place)
		s.closeAfter(protocol.CodeOverLimits, overLimitsDelay())
	}
	return false
}

// chargeRecord brings the books of begun frames up to date, where the transport holds so
// much of a record that is under way. Whoever brings input calls it, before it waits for
// more.
func (s *session) chargeRecord(holds int64) {
	held := int64(cap(s.partial)) + holds
	if held == s.begunBytes.Load() {
		return
	}
	if cap(s.partial) == 0 && holds > 0 && s.begunBytes.Load() == 0 {
		s.begunAt.Store(s.gateway.wheel.now())
	}
	s.chargeBegun(held)
}
