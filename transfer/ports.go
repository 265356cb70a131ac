package transfer

import (
	"context"
	"errors"

	"gannet/internal/directory"
	"gannet/internal/hop"
)

// This file has the ports of transfer. Each port states its guarantees; the suite in
// transfer/conformance tests every adapter. All methods are safe for concurrent use.

// Queue hands over the records of the log.
type Queue interface {
	// Follow calls take with each record of the queue, in order and one call at a time, until ctx
	// ends. It returns the error of ctx, or why it cannot go on. Every record that take gets is
	// already visible to readers. The record and its lists are valid until take returns; the
	// bytes of its blob never change. take may wait: the queue keeps the next records meanwhile.
	//
	// Bytes of the queue that are not a record are given as a record without entries; its Blob is
	// these bytes.
	//
	// take must see to it that done is called once for each record, when nothing more is to do
	// for it: before take returns or later, from any goroutine. A queue has one follower at a
	// time. A new follower begins with the first record that is not done. So a record may come
	// twice, and receivers must be idempotent.
	//
	// take's context is that of the goroutine that handed the record in, if take runs on that
	// goroutine. Otherwise it is ctx.
	Follow(ctx context.Context, queue int, take func(ctx context.Context, record *hop.Record, done func())) error
}

// Parking keeps records that could not be handled, so that an operator can see them and they can
// be tried again after the process has ended. A Queue whose records outlive a process implements
// it too.
type Parking interface {
	// Park notes what could not be handled in a record that take got and that is not done. The
	// record is kept before it counts as done, and only once, however often Park is called. Park
	// does not wait.
	Park(queue int, mark uint64, reason string)

	// Owes notes that the gateway of an epoch is owed a hint to sync everything, which replaces
	// pushes of records that are done from now on. With owes false, the gateway took the hint or
	// has ended. The note is kept no later than these records count as done, and the next
	// follower of the queues gives the hint. Owes does not wait.
	Owes(epoch uint64, owes bool)
}

// Directory is the part of directory.Directory that transfer needs.
type Directory interface {
	Devices(ctx context.Context, lookups []directory.Lookup, answers []directory.Answer, devices []directory.Device) ([]directory.Answer, []directory.Device, error)
}

// ErrEnded says that the registration of a gateway's epoch has ended. Nobody is there any more,
// and its devices log in elsewhere.
var ErrEnded = errors.New("transfer: the gateway's epoch has ended")

// ErrRefused says that one of the pushes was refused, by its gateway or because its lists do not
// fit together. Nothing of them was done, and another try is unlikely to succeed.
var ErrRefused = errors.New("transfer: the gateway refuses the push")

// Gateways takes pushes to the gateways.
type Gateways interface {
	// Push begins to send pushes to the gateway of an epoch, in their order, and does not wait for
	// it. A courier has one call under way for its epoch, and the next one takes all pushes that
	// wait meanwhile. The pushes must stay valid and unchanged until done is called.
	//
	// done is called exactly once, from any goroutine, perhaps before Push returns. If err is
	// nil, every frame is in an outbox or a hint replaces it, and absent are the connections that
	// are gone. After ErrEnded the caller gives the epoch up. After ErrRefused it sends these
	// pushes one by one, and gives one up after some tries. After any other error nobody knows
	// what arrived; the same pushes may be sent again.
	Push(ctx context.Context, epoch uint64, pushes []*hop.Push, done func(absent []uint64, err error))
}
