package rocketmq

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/apache/rocketmq-client-go/v2/primitive"

	"gannet/internal/chain"
)

// recordMagic is what a record has behind its size.
const recordMagic = 0xdaa320a7

// errCut says that something ends before it is whole.
var errCut = errors.New("it ends too soon")

// records reads the records in the body of a pull. We do not use the library's reader: it panics,
// or allocates without limit, if a length is wrong. records refuses compressed bodies, because
// their size is unknown until they are unpacked, and no client of ours sends any.
//
//	size u32 of the whole, magic u32, CRC u32, queue u32, flag u32, offset in the queue i64,
//	place on the disk i64, flags u32, time i64, host, time i64, host, tries u32,
//	transaction i64, body length u32, body, topic length u8, topic, properties length u16,
//	properties
//
// A host is an address and a port u32. The flags say for each host whether its address has 16 bytes
// instead of 4.
func records(body []byte) (all []chain.Stored, err error) {
	for at := 0; at < len(body); {
		r, size, err := record(body[at:])
		if err != nil {
			return nil, fmt.Errorf("the record at byte %d of %d: %w", at, len(body), err)
		}
		all = append(all, r)
		at += size
	}
	return all, nil
}

// record reads the first record, and gives its size.
func record(b []byte) (r chain.Stored, size int, err error) {
	const offset, flags, fixed, longer = 20, 36, 84, 16 - 4 // longer: a host with an address of 16 bytes
	if len(b) < fixed {
		return r, 0, errCut
	}
	length, magic := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	if magic != recordMagic {
		return r, 0, fmt.Errorf("its magic is %#x", magic)
	}
	if length < fixed || uint64(length) > uint64(len(b)) {
		return r, 0, fmt.Errorf("it says that it has %d bytes, and %d are there", length, len(b))
	}
	b = b[:length]
	is, body := binary.BigEndian.Uint32(b[flags:]), fixed
	if is&primitive.FlagCompressed != 0 {
		return r, 0, errors.New("its body is compressed, which none of ours is")
	}
	if is&primitive.FlagBornHostV6 != 0 {
		body += longer
	}
	if is&primitive.FlagStoreHostV6 != 0 {
		body += longer
	}
	if r.Offset = int64(binary.BigEndian.Uint64(b[offset:])); r.Offset < 0 {
		return r, 0, fmt.Errorf("it is at offset %d", r.Offset)
	}
	rest := b[min(body, len(b)):]
	if r.Body, rest, err = field(rest, 4); err != nil {
		return r, 0, fmt.Errorf("its body: %w", err)
	}
	if _, rest, err = field(rest, 1); err != nil {
		return r, 0, fmt.Errorf("its topic: %w", err)
	}
	if _, rest, err = field(rest, 2); err != nil {
		return r, 0, fmt.Errorf("its properties: %w", err)
	}
	if len(rest) > 0 {
		return r, 0, fmt.Errorf("%d bytes follow its properties", len(rest))
	}
	return r, len(b), nil
}

// field reads a field that begins with its length, a number of width bytes, and gives the rest of
// b.
func field(b []byte, width int) (f, rest []byte, err error) {
	if len(b) < width {
		return nil, nil, errCut
	}
	var length uint64
	for _, x := range b[:width] {
		length = length<<8 | uint64(x)
	}
	if b = b[width:]; length > uint64(len(b)) {
		return nil, nil, fmt.Errorf("%w: %d bytes of %d are there", errCut, len(b), length)
	}
	return b[:length:length], b[length:], nil
}
