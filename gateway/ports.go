package gateway

import (
	"context"

	"gannet/internal/hop"
	"gannet/protocol"
)

// This file has the ports of the gateway. Each port states its guarantees; the suite in
// gateway/conformance tests every adapter.

// Logic is what the gateway needs of logic. All methods are safe for concurrent use. An error
// means that logic did not answer: the call may or may not have been carried out.
type Logic interface {
	// Login answers HELLOs, in order: with the user and the number of the login, or with the code
	// to close the connection with. It has no effect that anybody else sees. So a call that is
	// carried out late, after it was given up and repeated, does no harm. The Hellos are valid
	// until Login returns.
	Login(ctx context.Context, logins []hop.Login) ([]hop.Welcome, error)

	// Enter enters connections in the directory with the numbers from Login. For each it returns
	// 0, or the code to close it with. The connections that they replace are closed. Enter may be
	// carried out late or more than once: a connection never replaces one with a higher number.
	Enter(ctx context.Context, connections []hop.Binding) ([]protocol.Code, error)

	// Logout says that connections that were let in are over.
	Logout(ctx context.Context, over []hop.Binding) error

	// Forward carries out a batch of SEND, PUSHACK and READ frames, in order. Every SEND is
	// answered. A PUSHACK or READ is answered if it failed or its request is not 0. There is one
	// call at a time for each queue. The batch is valid until Forward returns. The bytes of the
	// answers belong to the gateway from then on.
	//
	// Pushes that come through Gateway.Push with this context, before Forward
	// returns, go out in one write with the answers.
	Forward(ctx context.Context, batch *hop.Forward) (hop.Answers, error)

	// Query answers a SYNC or HISTORY frame with one encoded frame.
	Query(ctx context.Context, query *hop.Query) ([]byte, error)

	// Redeliver gives PUSH frames of a range that a device has not acked, oldest first, as many
	// as fit into the size limit of one frame. There may be none.
	Redeliver(ctx context.Context, again *hop.Redelivery) ([]byte, error)
}

// Binder enters connections in the directory once more. It is safe for concurrent use. Repeating
// a call is safe, even if it may have been carried out.
type Binder interface {
	// BindAgain enters connections with the numbers of their logins. lost has the indexes,
	// rising, of those that are not entered because their devices have logged in later.
	BindAgain(ctx context.Context, again []hop.Rebinding) (lost []uint32, err error)
}
