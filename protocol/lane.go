package protocol

import "encoding/binary"

// LaneClass says how a frame travels from the gateway to logic.
type LaneClass uint8

// The lane classes.
const (
	LaneNone  LaneClass = iota // does not travel: the gateway answers or refuses it
	LaneWrite                  // in order, in the lane of its conversation's partition
	LaneRead                   // beside the others, in no order
)

// targetSize is the length of an encoded target.
const targetSize = 9

// PeekTarget reads the target at the start of the payload of a frame that
// concerns a conversation; ok is false when the payload is too short.
func PeekTarget(payload []byte) (t Target, ok bool) {
	if len(payload) < targetSize {
		return Target{}, false
	}
	return Target{Kind: Kind(payload[0]), ID: binary.BigEndian.Uint64(payload[1:])}, true
}
