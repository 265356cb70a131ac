package protocol

import (
	"encoding/binary"
	"errors"
	"slices"
)

// ErrPayload says that a payload ended before its fields did, or that a length
// in it points past its end.
var ErrPayload = errors.New("protocol: payload is shorter than its fields")

// This file has what the generated codec is made of.

// room makes dst n bytes longer and gives these bytes as well; what is in them is
// not known.
func room(dst []byte, n int) (longer, added []byte) {
	dst = slices.Grow(dst, n)
	longer = dst[:len(dst)+n]
	return longer, longer[len(dst):]
}

// cut takes a length-prefixed run of bytes off p, not copied.
func cut(p []byte) (b, rest []byte, ok bool) {
	if len(p) < 4 {
		return nil, nil, false
	}
	n := binary.BigEndian.Uint32(p)
	if p = p[4:]; uint64(n) > uint64(len(p)) {
		return nil, nil, false
	}
	return p[:n:n], p[n:], true
}

func appendBytes(dst, b []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(b)))
	return append(dst, b...)
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}
