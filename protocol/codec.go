package protocol

import (
	"encoding/binary"
	"errors"
)

// ErrPayload says that a payload ended before its fields did, or that a length
// in it points past its end. What was decoded up to there means nothing.
var ErrPayload = errors.New("protocol: payload is shorter than its fields")

// reader takes fields off a payload. After a field that is not there it stays
// bad and gives zeros; fields that it does not know, at the end, are ignored.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	p := r.b[:n:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) u8() uint8 {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if p := r.take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if p := r.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if p := r.take(8); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

// bytes reads a length-prefixed run of bytes, not copied.
func (r *reader) bytes() []byte {
	n := r.u32()
	if uint64(n) > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	return r.take(int(n))
}

func (r *reader) target() Target { return Target{Kind: Kind(r.u8()), ID: r.u64()} }

func (r *reader) err() error {
	if r.bad {
		return ErrPayload
	}
	return nil
}

func appendBytes(dst, b []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(b)))
	return append(dst, b...)
}

func appendTarget(dst []byte, t Target) []byte {
	return binary.BigEndian.AppendUint64(append(dst, byte(t.Kind)), t.ID)
}
