// Package directory knows which devices are connected, and where: logic enters
// them at login and transfer looks them up. Its suite is in directorytest.
package directory

import (
	"context"

	"gannet/internal/hop"
	"gannet/protocol"
)

// Directory is the port. All methods are safe for concurrent use. An error means that the
// directory did not answer; asking again is safe.
//
// A device that is missing in the directory gets no pushes. It learns what it missed when it logs
// in.
type Directory interface {
	// Draw draws a number for a login of each user and appends the numbers in order. Each is
	// higher than every number drawn for the same user before. A login draws its number before it
	// binds and keeps it as long as its connection lives. A number that nobody binds has no
	// effect. 0 means that no number could be drawn for this user, although others got theirs.
	Draw(ctx context.Context, users, dst []uint64) (numbers []uint64, err error)

	// Bind enters devices under their addresses and appends a result for each. Of several binds
	// of one device the one with the highest number stays, in whatever order they arrive. A
	// repeated bind with the same number and address changes nothing. Neither does a late bind
	// with the address that the same number had before its newest one.
	//
	// A device that is not bound yet is not entered if the user has Bind.Most devices already.
	// This holds for concurrent binds too.
	Bind(ctx context.Context, binds []Bind, dst []Bound) ([]Bound, error)

	// Unbind removes each device that is still bound with the same number and address, and leaves
	// the others alone.
	Unbind(ctx context.Context, binds []Bind) error

	// Devices looks users up. It appends an answer for each look-up, in order, and the devices of
	// users whose version has changed. A look-up sees every Bind that returned before it.
	Devices(ctx context.Context, lookups []Lookup, answers []Answer, devices []Device) ([]Answer, []Device, error)
}

// Bind says that a device is connected at an address.
type Bind struct {
	User, Device uint64
	Platform     protocol.Platform
	Number       uint64 // drawn at login
	Most         int    // how many devices the user may have, this one included; 0: no limit
	At           hop.Address
}

// Bound is what became of a Bind.
type Bound struct {
	// Lost says that a later login holds the device: this connection is to be
	// closed with replaced.
	Lost bool

	// Full says that the user has as many other devices as may be: nothing was done.
	Full bool

	// Failed says that the part of the directory that has this user did not answer. The device
	// may or may not be entered; binding again is safe.
	Failed bool

	// Replaced is the address that the device had before this bind. The connection there must be
	// closed with replaced. It is zero if there was none.
	Replaced hop.Address
}

// Lookup asks for the devices of a user. Version is that of an earlier answer
// that the caller still has, 0 if none.
type Lookup struct {
	User, Version uint64
}

// Answer answers a Lookup. Versions are compared for equality only and never 0.
type Answer struct {
	Version uint64
	Same    bool     // nothing changed since the version of the Lookup: Devices is empty
	Devices hop.Span // in the list of devices that came with the answers
}

// Device is a connected device.
type Device struct {
	User, Device uint64
	Platform     protocol.Platform
	At           hop.Address
}
