package gateway

import (
	"errors"

	"gannet/protocol"
)

// recordHeader is the size of the header of a TLS record. Its last two bytes are the length of
// the rest (RFC 8446, 5.1).
const recordHeader = 5

// handshakeBytes bounds what a client sends in its handshake, and so what crypto/tls keeps of it.
// A ClientHello has two KB with the largest keys there are. Behind its Finished, a HELLO and more
// may be in the same packet.
const handshakeBytes = 32 << 10

var errLongHandshake = errors.New("gateway: the handshake is too long")

// record follows where the records of a TLS connection begin and end. crypto/tls allocates a
// whole record as soon as it has the header. So with 5 bytes a client can hold 16 KiB for as long
// as it likes, like a begun frame, but the session does not see it.
type record struct {
	header [recordHeader]byte
	have   int   // bytes of the record that is under way; 0: none is
	over   int64 // records that came whole
}

// pass follows bytes that are passed on to TLS.
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
	r.end() // for an empty record
}

// end ends the record that is under way if it is whole.
func (r *record) end() {
	if r.have >= recordHeader && r.have == r.length() {
		r.have = 0
		r.over++
	}
}

// length gives the length of the record under way. Its header must have arrived.
func (r *record) length() int { return recordHeader + int(r.header[3])<<8 + int(r.header[4]) }

// holds gives the memory of the record under way; room is the buffer for its next bytes.
func (r *record) holds(room []byte) int64 {
	if r.have == 0 {
		return 0
	}
	return int64(r.have + len(room))
}

const (
	// recordTokens is how many frames a record counts as if it brings neither a frame nor
	// recordBytes of one. A record by itself costs as much as many of the shortest frames. One
	// that makes crypto/tls derive new keys (KeyUpdate) costs some 15 microseconds.
	recordTokens = 4
	recordBytes  = 1 << 10

	// earlyRecords bounds such records before the login, which needs one record, or a few if the
	// client writes HELLO in pieces.
	earlyRecords = 64
)

var errManyRecords = errors.New("gateway: too many records that bring nothing")

// fair checks that the records have brought enough: a frame, or recordBytes of one, for each
// record. Records beyond that must be paid for with tokens. It returns false if the connection
// must end.
func (c *tlsConn) fair() bool {
	s := c.session
	surplus := c.record.over - s.taken - c.brought/recordBytes - c.charged
	if surplus <= 0 {
		return true
	}
	c.charged += surplus
	return s.paysRecords(surplus)
}

// paysRecords takes the tokens for records that brought nothing, even if they are not there, and
// ends a connection that is far over its limit.
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

// chargeRecord counts the memory that the transport holds for a record under way in the budget of
// begun frames. The goroutine that brings input calls it, before it waits for more.
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
