package protocol

import "time"

// This file has the types in which frames travel between the roles: from a
// gateway to logic, back, and from transfer to a gateway. They belong to no
// role, so each of them can be written without importing another.

// Identity says on whose behalf a frame travels.
type Identity struct {
	Gateway uint64 // which gateway, and which life of it; never reused
	Conn    uint64 // which connection of that gateway; never reused in its life
	User    uint64
	Device  uint64
}

// Address is where a device's connection is.
type Address struct {
	Gateway uint64 // as in Identity
	Conn    uint64
}

// Request is a frame of a client on its way to logic.
type Request struct {
	Identity
	Frame Frame // the payload is valid only until the batch is answered
}

// Reply is what a connection gets back for a request: one encoded frame or
// several.
type Reply struct {
	Conn  uint64
	Bytes []byte // immutable from here on
}

// Login is what logic answers a HELLO that it lets in.
type Login struct {
	User      uint64
	Heartbeat time.Duration // the interval in force
	Welcome   []byte        // an encoded WELCOME frame
}

// Delivery is a push on its way from transfer to a gateway: one encoded frame,
// immutable, and the connections that it goes to.
type Delivery struct {
	Frame []byte
	Conns []uint64
}

// LaneClass says how a frame travels from the gateway to logic.
type LaneClass uint8

// The lane classes.
const (
	LaneNone  LaneClass = iota // does not travel: the gateway answers or refuses it
	LaneWrite                  // in order, in the lane of its conversation's partition
	LaneRead                   // beside the others, in no order
)

// Lane gives the class of a client's frame.
func (t Type) Lane() LaneClass {
	switch t {
	case TypeSend, TypePushAck, TypeRead:
		return LaneWrite
	case TypeSync, TypeHistory:
		return LaneRead
	default:
		return LaneNone
	}
}

// TypeRedeliver asks logic, in the name of a connection, to push a Range of a
// conversation once more. It exists only between gateway and logic and is not
// on the wire; a client that sends it gets unknown_type.
const TypeRedeliver Type = 0x7F

// PeekTarget reads the target at the start of the payload of a frame that
// concerns a conversation; ok is false when the payload is too short.
func PeekTarget(payload []byte) (t Target, ok bool) {
	r := reader{b: payload}
	t = r.target()
	return t, !r.bad
}
