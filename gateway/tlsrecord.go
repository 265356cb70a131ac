package gateway

import "errors"

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
	have   int // bytes of the record that is under way; 0: none is
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
		if r.have == r.length() {
			r.have = 0
		}
	}
	if r.have >= recordHeader && r.have == r.length() { // an empty one
		r.have = 0
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
