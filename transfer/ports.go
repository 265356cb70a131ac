package transfer

import (
	"context"

	"gannet/protocol"
)

// This file has what transfer needs from elsewhere. Each port states its
// guarantee; the suite in transfer/conformance holds every adapter to it. All
// methods are safe for concurrent use.

// Queue brings the records of the log. A record is one ordered batch of encoded
// PUSH and RECEIPT frames of one lane, one behind the other.
type Queue interface {
	// Follow calls push with the records of the lane, oldest first and one call at a
	// time, until ctx ends, and returns ctx's error or why it cannot go on. The
	// bytes are immutable. What push returned nil for is done with and comes to
	// nobody again; after an error it comes again a little later, and before
	// anything else.
	//
	// A lane has one follower. One that takes a lane over begins with the first
	// record that is not done with, so a record may come twice, and receivers are
	// idempotent.
	Follow(ctx context.Context, lane int, push func(records [][]byte) error) error
}

// Device is a connected device of a user.
type Device struct {
	User, Device uint64
	At           protocol.Address
}

// Directory knows which devices are connected, and where. A device that is
// missing in it learns what it missed when it logs in.
type Directory interface {
	// Devices appends the connected devices of the users to dst, those of the first
	// user first.
	Devices(ctx context.Context, users []uint64, dst []Device) ([]Device, error)
}

// Gateways takes pushes to the gateways.
type Gateways interface {
	// Push hands the deliveries to a gateway, which puts them into the outboxes of
	// the connections in this order, and returns the connections that are not
	// there any more.
	Push(ctx context.Context, gateway uint64, deliveries []protocol.Delivery) (absent []uint64, err error)
}
