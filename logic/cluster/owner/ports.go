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

	// Rebuild hands all conversations of a queue to take, or only those in only, some at a time.
	// Each has its newest message, or an Err. They contain everything up to the returned mark; some
	// may be newer. When take has returned, as many of the parts are complete as done says.
	Rebuild(ctx context.Context, queue chain.Queue, only []protocol.Conversation, take func(list []view.Whole, done, parts int) error) (chain.Mark, error)

	// Mark gives the mark that a Rebuild would return if it began now.
	Mark(ctx context.Context, queue chain.Queue) (chain.Mark, error)

	// Most is the newest record that may have been taken in, whether it is certain or not.
	Most(ctx context.Context, queue chain.Queue) (chain.Mark, error)
}

// Feeder takes records to the history.
type Feeder interface {
	// Open begins with a queue, and gives the mark behind which its records are to be fed.
	Open(ctx context.Context, queue chain.Queue) (chain.Mark, error)

	// Add takes a record. If the record does not follow the last one, or if there is no room, taken
	// is false: then the caller must read the records behind at from the queue and add those. Add
	// never waits, and keeps no reference to what it is given.
	Add(fed *Fed) (at chain.Mark, taken bool)

	// Inserted gives the mark of the last record of a queue that the history is known to have. ok
	// is false if nothing is known, as before Open.
	Inserted(queue chain.Queue) (at chain.Mark, ok bool)

	// Leave ends with a queue.
	Leave(queue chain.Queue)
}

// Fed is a record that counts.
type Fed struct {
	Queue      chain.Queue
	Prev, Mark chain.Mark  // of the record that counts before it, and its own
	Version    uint64      // rises from record to record of a queue, for ever
	Record     *hop.Record // nil: States alone are given, as of Mark, which is Prev too

	// Oldest says that the queue has no older record any more. Before this record all conversations
	// of the queue were given as States, so their state is not lost with the missing records.
	Oldest bool

	// Change is what the record did, worked out with Checkpoint 1. It is nil for a record
	// that was read again from the queue: then States has the conversations that the record
	// touches, as they are at the record or later.
	Change *ledger.Change
	States []*ledger.Loaded

	// Lost is set if States are given alone because records were given up. Once the history has
	// taken in the record of this mark, every message up to the head of one of these conversations
	// that the history does not have is lost for good.
	Lost chain.Mark
}
