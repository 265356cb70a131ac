package rpc

import (
	"unsafe"

	"gannet/internal/hop"
)

// Package hop has lists of unsigned numbers, generated code has lists of signed ones. Both have
// the same layout, so each is used as the other without a copy. After a conversion the original
// list may only be read, or not be used at all.

func signed64(list []uint64) []int64 { return as[int64](list, len(list)) }

func unsigned64(list []int64) []uint64 { return as[uint64](list, len(list)) }

func signed32(list []uint32) []int32 { return as[int32](list, len(list)) }

func unsigned32(list []int32) []uint32 { return as[uint32](list, len(list)) }

// pairs gives the bounds of all spans, one after the other.
func pairs(list []hop.Span) []int32 { return as[int32](list, 2*len(list)) }

// spans is the inverse of pairs; ok is false for an odd number of bounds.
func spans(list []int32) (s []hop.Span, ok bool) {
	if len(list)%2 != 0 {
		return nil, false
	}
	return as[hop.Span](list, len(list)/2), true
}

// as reinterprets a list as n elements of another type. They must fill it exactly.
func as[To, From any](list []From, n int) []To {
	if len(list) == 0 {
		return nil
	}
	return unsafe.Slice((*To)(unsafe.Pointer(unsafe.SliceData(list))), n)
}

// This does not compile unless a Span is exactly its two bounds.
var _ = [1]struct{}{}[unsafe.Sizeof(hop.Span{})-2*unsafe.Sizeof(int32(0))]
