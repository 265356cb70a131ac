// Package protocol is the wire of gannet: frames, payloads, codes and limits.
// SPEC.md beside this file is the normative text. What every frame has in it is
// described in frames.json, from which the codec is generated (frames_gen.go).
//
// Decoding copies nothing: every byte slice in a decoded value points into the
// buffer that it was decoded from and is valid as long as that buffer is.
// Encoding appends to a buffer of the caller's. Nothing here keeps state, so
// everything is safe for concurrent use.
package protocol

import (
	"encoding/binary"
	"errors"
)

// Type says what a frame is. Requests of the client are below 0x80, each reply
// is its request with the high bit set, pushes begin at 0xC0.
type Type uint8

// unknownType names a type that is not described: 0x7F.
func unknownType(t Type) string {
	const digits = "0123456789ABCDEF"
	return string([]byte{'0', 'x', digits[t>>4], digits[t&0xf]})
}

// Frame is one unit on the wire, its payload still encoded.
type Frame struct {
	Type    Type
	Flags   uint8 // none is defined: senders set 0, readers ignore it
	Request uint32
	Payload []byte
}

// Framing errors. After one of them the stream cannot be trusted any more.
var (
	ErrFrameTooShort = errors.New("protocol: frame length is below the header's")
	ErrFrameTooLarge = errors.New("protocol: frame length is over the limit")
)

// HeaderSize is the length field and the fixed fields after it.
const HeaderSize = 10

// frameFixed is the part of the header that the length field counts.
const frameFixed = HeaderSize - 4

// Split takes the first frame off b. n is how many bytes of b it took; 0 with
// no error means that b does not hold a whole frame yet. A length field over
// limit is refused as soon as it is visible, before the frame is waited for; a
// negative limit refuses every length.
func Split(b []byte, limit int) (f Frame, n int, err error) {
	if len(b) < 4 {
		return Frame{}, 0, nil
	}
	length := binary.BigEndian.Uint32(b)
	if length < frameFixed {
		return Frame{}, 0, ErrFrameTooShort
	}
	if int64(length) > int64(limit) {
		return Frame{}, 0, ErrFrameTooLarge
	}
	// From here on length fits an int, even one of 32 bits; 4+length may not.
	if len(b)-4 < int(length) {
		return Frame{}, 0, nil
	}
	n = 4 + int(length)
	return Frame{
		Type:    Type(b[4]),
		Flags:   b[5],
		Request: binary.BigEndian.Uint32(b[6:]),
		Payload: b[HeaderSize:n:n],
	}, n, nil
}

// Append encodes the frame at the end of dst.
func (f Frame) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(frameFixed+len(f.Payload)))
	dst = append(dst, byte(f.Type), f.Flags)
	dst = binary.BigEndian.AppendUint32(dst, f.Request)
	return append(dst, f.Payload...)
}

// AppendEmpty encodes a frame without payload (PING, PONG, DONE) at the end of
// dst.
func AppendEmpty(dst []byte, t Type, request uint32) []byte {
	dst = append(dst, 0, 0, 0, frameFixed, byte(t), 0)
	return binary.BigEndian.AppendUint32(dst, request)
}

// end sets the length of the frame that begins at start and goes to the end of
// dst.
func end(dst []byte, start int) []byte {
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}
