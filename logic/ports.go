package logic

import (
	"context"
	"errors"

	"gannet/protocol"
)

// This file has what logic needs from elsewhere. Each port states its
// guarantee; the suite in logic/conformance holds every adapter to it. All
// methods are safe for concurrent use.

// ErrUnavailable says that a store did not answer. What was asked may or may
// not have happened; asking again is safe.
var ErrUnavailable = errors.New("logic: the store is unavailable")

// Op says what an entry of a batch does.
type Op uint8

// The operations.
const (
	OpMessage Op = 1 // gives a message its seq
	OpCursor  Op = 2 // raises the cursors of a user
)

// Outcome says what became of an entry.
type Outcome uint8

// The outcomes.
const (
	Applied  Outcome = 1 // the message is new, or a cursor rose: the frame goes out
	Repeated Outcome = 2 // the message was there already (Seq and Time are its), or no cursor rose: the frame does not go out
	Stale    Outcome = 3 // the client message id is past the window in which a retry can be told from a new message; nothing was done
)

// Entry is one change to one conversation.
type Entry struct {
	Op           Op
	Conversation protocol.Conversation
	User, Device uint64 // who makes the change, neither 0
	ClientID     uint64 // OpMessage: the client message id, not 0

	// Delivered and Read are, for OpCursor, how far the user's cursors shall
	// rise; a value past the head counts as the head, and what is read is
	// delivered. Append sets them to where the cursors are after this entry.
	Delivered, Read uint64

	// Start and End bound the entry's encoded frame (PUSH or RECEIPT, header
	// included) in Batch.Record. Append writes seq and time, or the cursors, into
	// it.
	Start, End int

	// Results of Append.
	Outcome Outcome
	Seq     uint64 // OpMessage
	Time    uint64 // OpMessage: Unix milliseconds, never falling within a conversation
}

// Batch is what travels through a lane at once: changes in order, and their
// frames one behind the other, in the same order.
type Batch struct {
	Record  []byte
	Entries []Entry
}

// Log is where messages become durable.
type Log interface {
	// Append applies the entries in order, all of which belong to partitions p
	// with p mod lanes == lane, and returns once every one is durable.
	//
	//   - A message whose (user, device, client id) is known in its conversation is
	//     Repeated and gets the seq and time of the first one; the same within
	//     one batch. The first one is durable then, even if its own Append failed.
	//     A message is known as long as fewer than protocol.MaxUnacked messages of
	//     the device with a higher client id were accepted in the conversation after
	//     it; an adapter may forget it after 24 hours. From then on a retry is
	//     Repeated or Stale.
	//   - Any other message gets the conversation's head plus one, also when
	//     messages with higher client ids came before it. Seqs begin at 1 and rise by
	//     one; a seq is never given out twice, whatever dies when.
	//   - Sending moves the sender's own delivered and read cursors to the new seq.
	//   - Cursors only rise and never pass the head. The conversation's members are
	//     the caller's business.
	//   - Nothing that is not durable is visible through History, Inbox or Cursors;
	//     everything is once Append has returned.
	//   - Once durable, the frames of the Applied entries go, in order, to the
	//     Queue that transfer follows, as one record of the lane, none when no entry
	//     was applied. The adapter owns Record from the call on, and the caller
	//     must not touch it any more; Entries are the caller's again afterwards.
	//
	// Concurrent calls are allowed, also for one lane, and are carried out one
	// after the other then. After an error (ErrUnavailable, wrapped) nothing is
	// known about any entry; sending the same messages again is safe. ctx is not
	// heeded any more once writing has begun.
	Append(ctx context.Context, lane int, batch *Batch) error
}

// History reads messages back.
type History interface {
	// Head gives the highest durable seq of the conversation, 0 when it has none.
	// A conversation that nobody wrote to is an empty one.
	Head(ctx context.Context, c protocol.Conversation) (uint64, error)

	// Read visits the durable messages with first <= seq <= last, in rising order
	// or, when descending, in falling order, until visit returns false. first may
	// be 0 and last past the head. message is what protocol.Message.Decode reads,
	// valid only during the visit, which may call other ports. A seq that is passed
	// over does not exist.
	Read(ctx context.Context, c protocol.Conversation, first, last uint64, descending bool,
		visit func(seq uint64, message []byte) bool) error
}

// Inbox knows which conversations a user has.
type Inbox interface {
	// Conversations visits the conversations of the user whose target, as the user
	// addresses it, follows after (by kind, then id; the zero Target begins), in
	// that order, until visit returns false. A conversation is there for all its
	// members once it has a message. after need not be one of them. The visit may
	// call other ports.
	Conversations(ctx context.Context, user uint64, after protocol.Target,
		visit func(Summary) bool) error
}

// Summary is a conversation in an inbox.
type Summary struct {
	Conversation protocol.Conversation
	Head         uint64
	Changed      uint64 // Unix milliseconds: when a message came or a cursor of a member rose last
	Last         []byte // the newest message as Message.Decode reads it, valid only during the visit
}

// Position is how far a user is in a conversation.
type Position struct {
	Delivered, Read uint64
}

// Cursors reads what Log.Append raised.
type Cursors interface {
	// Positions gives the durable position of each user, in order; zero where
	// there is none. It appends to dst.
	Positions(ctx context.Context, c protocol.Conversation, users []uint64, dst []Position) ([]Position, error)
}

// Directory knows which devices are connected, and where.
type Directory interface {
	// Bind enters the device under its address and returns the address that it
	// replaced, if any. Of several that bind one device at once one stays, and
	// every other address is returned to exactly one of them.
	Bind(ctx context.Context, user, device uint64, platform protocol.Platform, at protocol.Address) (old protocol.Address, replaced bool, err error)

	// Unbind removes the device if it is still at this address.
	Unbind(ctx context.Context, user, device uint64, at protocol.Address) error
}

// Gateways reaches the gateways for what is not a push.
type Gateways interface {
	// Kick closes a connection with the code. A connection that is gone already is
	// no error.
	Kick(ctx context.Context, at protocol.Address, code protocol.Code) error
}
