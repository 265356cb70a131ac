// Package hop has what travels between the roles: from a gateway to logic and
// back, from logic through the queue to transfer, and from transfer to a
// gateway. Each type is flat lists of numbers and one blob of bytes, so that a
// call costs no object per frame and an RPC adapter has nothing to convert.
// None of it is on the wire of clients; that is package protocol.
//
// What a peer sends is input: the types that are read with bounds have a Check, which
// whoever receives one from another role calls first; Record.Decode checks for itself.
package hop

import "gannet/protocol"

// Identity says on whose behalf a frame travels.
type Identity struct {
	Gateway uint64 // the gateway's epoch: one life of one gateway, never reused
	Conn    uint64 // the connection, never reused within the epoch
	User    uint64
	Device  uint64
}

// Address is where a device's connection is. Both numbers are as in Identity;
// the zero Address is nowhere.
type Address struct {
	Gateway uint64
	Conn    uint64
}

// Address gives where the identity's connection is.
func (id Identity) Address() Address { return Address{Gateway: id.Gateway, Conn: id.Conn} }

// Login is a HELLO on its way to logic.
type Login struct {
	Address
	Request uint32 // of the HELLO, which WELCOME echoes
	Hello   protocol.Hello
}

// Welcome is what logic answers to a Login.
type Welcome struct {
	// Code is 0 when the device is let in, else the reason for CLOSE; the other
	// fields are empty then.
	Code protocol.Code

	User      uint64
	Number    uint64 // drawn by this login; belongs to the connection
	Heartbeat uint16 // seconds, the interval in force
	Expires   int64  // Unix seconds at which the login ends, 0: never
	Frame     []byte // an encoded WELCOME
}

// Binding is a connection that was let in, as the directory knows it.
type Binding struct {
	Identity
	Platform protocol.Platform
	Number   uint64 // of its login
}

// Rebinding is a connection that is to be entered in the directory once more.
type Rebinding struct {
	Binding

	// Was is the epoch under which it was entered before; an entry under it is this
	// connection's own.
	Was uint64
}

// Query is a frame that needs no order (SYNC, HISTORY) on its way to logic.
type Query struct {
	Identity
	Frame []byte // one whole encoded frame, valid until the call returns
}

// Redelivery asks logic for the pushes First to Last of a conversation once
// more, because the device has not acked them.
type Redelivery struct {
	Identity
	protocol.Range
}
