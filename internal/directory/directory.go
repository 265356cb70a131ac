// Package directory knows which devices are connected, and where: logic enters
// them at login and transfer looks them up. Its suite is in directorytest.
package directory

import (
	"context"

	"gannet/internal/hop"
	"gannet/protocol"
)

// Directory is the port. All methods are safe for concurrent use; an error means
// that the directory did not answer, and asking again is safe.
//
// A device that is missing in it learns what it missed when it logs in.
type Directory interface {
	// Draw gives logins of the users their numbers and appends them, in order: each is
	// higher than every number drawn for its user before. A login draws before it binds
	// and keeps the number for as long as its connection lives. A number that nobody
	// binds has no effect. 0 says that none could be drawn for this user, while others
	// got theirs.
	Draw(ctx context.Context, users, dst []uint64) (numbers []uint64, err error)

	// Bind enters devices under their addresses and appends a result for each. Of
	// several binds of one device the one with the highest number stays, whatever
	// order they come in; one with the same number and address again is no change, and
	// neither is one that comes late, with the address that the same number had before
	// its last one.
	// A device that is not bound yet is not entered where the user has Bind.Most
	// devices already, whatever binds come at the same time.
	Bind(ctx context.Context, binds []Bind, dst []Bound) ([]Bound, error)

	// Unbind removes each device that is still bound by the same number at the
	// same address; others are left alone.
	Unbind(ctx context.Context, binds []Bind) error

	// Devices looks users up. It appends an answer for each look-up, in order, and
	// the devices of those that changed. A look-up sees every Bind that returned
	// before it.
	Devices(ctx context.Context, lookups []Lookup, answers []Answer, devices []Device) ([]Answer, []Device, error)
}

// Bind is a device and where it is.
type Bind struct {
	User, Device uint64
	Platform     protocol.Platform
	Number       uint64 // drawn at login
	Most         int    // devices of the user, this one included; 0: no bound
	At           hop.Address
}

// Bound is what became of a Bind.
type Bound struct {
	// Lost says that a later login holds the device: this connection is to be
	// closed with replaced.
	Lost bool

	// Full says that the user has as many other devices as may be: nothing was done.
	Full bool

	// Failed says that the part of the directory that has this user did not answer: the
	// device may be entered or not, and binding again is safe.
	Failed bool

	// Replaced is the address that this bind took the device from, to be closed
	// with replaced; zero where there was none.
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
