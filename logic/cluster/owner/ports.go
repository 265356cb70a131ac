package owner

import (
	"context"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/internal/registry"
	"gannet/logic/cluster/view"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// Registry is the part of registry.Registry that an Owner needs.
type Registry interface {
	// View gives the newest snapshot. It never waits.
	View() *registry.View
}

// History is what is kept of conversations beyond what is in the memory of their owner:
// ClickHouse, with the owner's own Recent in front of it.
type History interface {
	// Walk is that of ledger.Source.
	Walk(ctx context.Context, walks []*ledger.Walk) error

	// Rebuild gives to take all conversations of a queue, or only some, some at a time, each
	// with its newest message, or with an Err. Everything up to the mark is in what is given; some may be newer.
	// done of parts are given when take has returned.
	Rebuild(ctx context.Context, queue chain.Queue, only []protocol.Conversation, take func(list []view.Whole, done, parts int) error) (chain.Mark, error)

	// Mark is the one that Rebuild would begin with.
	Mark(ctx context.Context, queue chain.Queue) (chain.Mark, error)

	// Most is the newest record that may have been taken in, whether it is certain or not.
	Most(ctx context.Context, queue chain.Queue) (chain.Mark, error)
}

// Feeder takes records to the history.
type Feeder interface {
	// Open begins with a queue, and gives the mark behind which its records are to be fed.
	Open(ctx context.Context, queue chain.Queue) (chain.Mark, error)

	// Add takes a record, unless it does not follow the last one or there is no room: then
	// taken is false, and the records behind at are to be read from the queue and added. It
	// never waits, and keeps nothing of what it is given.
	Add(fed *Fed) (at chain.Mark, taken bool)

	// Leave ends with a queue.
	Leave(queue chain.Queue)
}

// Fed is a record that counts.
type Fed struct {
	Queue      chain.Queue
	Prev, Mark chain.Mark  // of the record that counts before it, and its own
	Version    uint64      // rises from record to record of a queue, for ever
	Record     *hop.Record // nil: States alone are given, as of Mark, which is Prev too

	// Oldest says that the queue has no older record any more. Before it all conversations
	// of the queue were given as States: what its records were lost with is not lost with them.
	Oldest bool

	// Change is what the record did, worked out with Checkpoint 1. It is nil for a record
	// that was read again from the queue: then States has the conversations that the record
	// touches, as they are at the record or later.
	Change *ledger.Change
	States []*ledger.Loaded

	// Lost of States that are given alone is not empty where records were given up: once the
	// record of this mark is in, a message up to the head of one of them that is not there is
	// lost for good.
	Lost chain.Mark
}
