package gateway

import (
	"context"

	"gannet/internal/hop"
	"gannet/protocol"
)

// This file has what the gateway needs from elsewhere. Each port states its guarantee; the
// suite in gateway/conformance holds every adapter to it.

// Logic is what the gateway needs of logic. All methods are safe for concurrent
// use. An error means that logic did not answer: what was asked may or may not
// have happened.
type Logic interface {
	// Login answers HELLOs, in order: who it is, and the number of the login, or the
	// code with which the connection is closed. Nobody else sees anything of it, so one
	// that is carried out late, after its call was given up and made again, changes
	// nothing. The Hellos are valid until it returns.
	Login(ctx context.Context, logins []hop.Login) ([]hop.Welcome, error)

	// Enter enters connections in the directory under the numbers that Login gave, and
	// says of each 0, or the code with which it is closed. What it replaces is closed.
	// It may be carried out late or more often than once: a connection never replaces
	// one of a higher number.
	Enter(ctx context.Context, connections []hop.Binding) ([]protocol.Code, error)

	// Logout says that connections that were let in are over.
	Logout(ctx context.Context, over []hop.Binding) error

	// Forward carries out a batch of SEND, PUSHACK and READ frames in order. Every
	// SEND is answered; PUSHACK and READ are when they failed or their request is
	// not 0. Calls for one queue come one after the other. The batch is valid until
	// it returns; the answers' bytes are the gateway's from then on.
	//
	// Pushes that come through Gateway.Push with this context, before Forward
	// returns, go out in one write with the answers.
	Forward(ctx context.Context, batch *hop.Forward) (hop.Answers, error)

	// Query answers a SYNC or HISTORY frame with one encoded frame.
	Query(ctx context.Context, query *hop.Query) ([]byte, error)

	// Redeliver gives the PUSH frames of a range that a device has not acked,
	// oldest first, as many as one frame's limit of bytes holds; it may be empty.
	Redeliver(ctx context.Context, again *hop.Redelivery) ([]byte, error)
}

// Binder enters connections in the directory once more. It is safe for concurrent use, and
// what may have been done may be asked for again.
type Binder interface {
	// BindAgain enters connections under the numbers of their logins, and gives which of
	// the list, rising, are not in the directory because later logins of their devices
	// are.
	BindAgain(ctx context.Context, again []hop.Rebinding) (lost []uint32, err error)
}
