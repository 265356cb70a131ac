// Package hop has the types that travel between the roles: from a gateway to logic and back, from
// logic through the queue to transfer, and from transfer to a gateway. Each type is flat lists of
// numbers and one blob of bytes. So a call needs no object per frame, and an RPC adapter has
// nothing to convert. Clients never see these types; package protocol has what they see.
//
// Data from a peer is not trusted. Types whose lists must fit together have a Check; whoever
// receives such a value from another role must call it first. Record.Decode does its own checks.
package hop

import "gannet/protocol"

// Identity names the connection, user and device for which a frame travels.
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

	// Was is the epoch under which the connection was entered before. An entry under that epoch
	// belongs to this connection.
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
