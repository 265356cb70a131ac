package gannet

import (
	"context"
	"fmt"
	"time"
)

// Handler has the hooks of a client; a nil hook is skipped. They are called one
// at a time on a goroutine of their own, so they may wait, send and ask, and
// nothing else waits for them: what arrives meanwhile has bounded room, and what
// does not fit waits on the server. Each kind comes in its order; outcomes,
// receipts and events that wait go before messages.
//
// The context of a hook ends when Close gives up waiting or the client ends for
// good. A hook passes it on to the methods of the client that it calls: by it a Send or
// Post knows that it must not wait for room which only the hook's own return makes. A
// hook may call Close, which does not wait for that hook then.
type Handler struct {
	// Message gets every message of others, and those of this user's other
	// devices. It counts as received when the hook returns nil. After an error
	// the message comes again, after a pause that grows to a minute; what follows
	// it in its conversation waits, other conversations go on.
	Message func(ctx context.Context, c *Client, m Message) error

	// Outcome gets what became of every message that was taken: those of Send and
	// Post, and those which a Store kept from a life before. With a Store an
	// outcome is told until the hook has returned once, so a process that dies may
	// hear one again after its restart.
	Outcome func(ctx context.Context, c *Client, o Outcome)

	// Receipt gets every risen cursor while the client is online; those that rose
	// in between are in Conversations. A hook that is far behind gets the newest
	// ones only.
	Receipt func(ctx context.Context, c *Client, r Receipt)

	// Event gets what happens to the connection. A hook that is more than 64 events
	// behind misses the oldest.
	Event func(ctx context.Context, c *Client, e Event)
}

// Outcome is what became of a message: Err is nil and the Ack tells its place,
// or Err says why it has none. That is an *Error with which the server refused
// it for good, ErrAbandoned or ErrDropped.
type Outcome struct {
	ID  uint64 // of the message
	To  Target
	Ack Ack
	Err error
}

// EventKind says what happened.
type EventKind uint8

// What happens to a connection.
const (
	// EventConnected says that the client is logged in, and where.
	EventConnected EventKind = 1

	// EventCaughtUp says that everything which was sent while the client was away
	// has been received. It follows each EventConnected, unless the connection is
	// lost before. An app that only sends, with neither Handler.Message nor a loop over
	// Messages, receives nothing: it gets the event only where nothing was sent to its
	// user, and need not wait for it, because sending begins with EventConnected.
	EventCaughtUp EventKind = 2

	// EventLost says that the connection ended, and why. The client connects
	// again.
	EventLost EventKind = 3

	// EventFailed says that an attempt to connect failed, and why. The client
	// tries again.
	EventFailed EventKind = 4

	// EventHeld says that the server takes no messages for the moment, and why.
	// The client holds all of them back for Wait and sends them again.
	EventHeld EventKind = 5

	// EventEnded says that the client is closed for good. It is the last event.
	// Err is what Err gives: nil after a Close.
	EventEnded EventKind = 6

	// EventStoreFailed says that the Store failed, and why. It comes once. The client
	// takes nothing more to send and notes nothing more in the store, so what is
	// received and heard from now on comes again to the next client with that Store.
	EventStoreFailed EventKind = 7
)

// String names the kind in a word or two.
func (k EventKind) String() string {
	names := [...]string{"", "connected", "caught up", "lost", "failed", "held", "ended", "store failed"}
	if k == 0 || int(k) >= len(names) {
		return fmt.Sprintf("event %d", uint8(k))
	}
	return names[k]
}

// Event is something that happened to the connection.
type Event struct {
	Kind    EventKind
	Address string        // of the server; empty with ended and store failed
	Err     error         // the reason of lost, failed, held, ended and store failed
	Wait    time.Duration // with lost and failed before the next attempt, with held before messages go out again
}
