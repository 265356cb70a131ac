package transfer

import (
	"context"
	"errors"

	"gannet/internal/directory"
	"gannet/internal/hop"
)

// This file has what transfer needs from elsewhere. Each port states its
// guarantee; the suite in transfer/conformance holds every adapter to it. All
// methods are safe for concurrent use.

// Queue brings the records of the log.
type Queue interface {
	// Follow calls take with each record of the queue, in order and one call at a
	// time, until ctx ends, and returns ctx's error or why it cannot go on. What is
	// taken is visible to readers already. The record and its lists are valid until
	// take returns, the bytes of its blob stay as they are for ever. take may wait:
	// the queue holds what comes meanwhile.
	//
	// Bytes of the queue that are no record come as one without entries whose blob
	// they are.
	//
	// take sees to it that done is called once for each record, when nothing more
	// is to be done for it: before it returns or later, from any goroutine. A queue
	// has one follower. One that takes a queue over
	// begins with the first record that is not done, so a record may come twice, and
	// receivers are idempotent.
	//
	// The context that take gets is that of whoever handed the record in, where it
	// comes from the same goroutine, else ctx.
	Follow(ctx context.Context, queue int, take func(ctx context.Context, record *hop.Record, done func())) error
}

// Parking keeps records that could not be handled, so that they can be seen and tried
// again when their process is gone. A Queue whose records outlive a process is one too.
type Parking interface {
	// Park says of a record that take got and that is not done what could not be handled.
	// It is kept before it counts as done, and once, however often Park is called. Park
	// does not wait.
	Park(queue int, mark uint64, reason string)

	// Owes says that the gateway of an epoch is owed a hint to sync everything, which
	// stands for pushes of records that are done from here on; with owes false, that it
	// took the hint or has ended. That is kept no later than the records count as done,
	// and who follows the queues next gives the hint. Owes does not wait.
	Owes(epoch uint64, owes bool)
}

// Directory is the part of directory.Directory that transfer needs.
type Directory interface {
	Devices(ctx context.Context, lookups []directory.Lookup, answers []directory.Answer, devices []directory.Device) ([]directory.Answer, []directory.Device, error)
}

// ErrEnded says that the registration of a gateway's epoch has ended: nobody is
// there any more, and its devices log in elsewhere.
var ErrEnded = errors.New("transfer: the gateway's epoch has ended")

// ErrRefused says that a push is not taken, by its gateway or because its lists do not fit
// together: nothing of it was done, and the next try will hardly go better.
var ErrRefused = errors.New("transfer: the gateway refuses the push")

// Gateways takes pushes to the gateways.
type Gateways interface {
	// Push starts to hand a push to the gateway of the epoch and does not wait for
	// it. done is called exactly once, from any goroutine, perhaps before Push
	// returns. With err nil every frame is in an outbox or a hint stands for it,
	// and absent are connections that are not there any more. ErrEnded gives the
	// epoch up, ErrRefused this push after some tries. After any other error nobody knows
	// what arrived; pushing the same again is safe. The push is valid and must not change until done is called.
	// The caller has one push under way for each epoch.
	Push(ctx context.Context, epoch uint64, push *hop.Push, done func(absent []uint64, err error))
}
