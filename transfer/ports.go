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
	// Next waits until the lane has records that it has not returned since the
	// last Rewind, and appends them to dst, oldest first. Records of a lane come
	// in the order in which they became durable. The bytes are immutable. It
	// returns an error when ctx ends or the queue is closed.
	Next(ctx context.Context, lane int, dst [][]byte) ([][]byte, error)

	// Commit says that everything that Next returned for the lane has been pushed;
	// it will not come again.
	Commit(ctx context.Context, lane int) error

	// Rewind makes Next begin again after the last Commit: for a follower that
	// takes a lane over. So a record may come twice, and receivers are idempotent.
	Rewind(ctx context.Context, lane int) error
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
