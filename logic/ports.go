package logic

import (
	"context"
	"errors"
	"time"

	"gannet/internal/directory"
	"gannet/internal/hop"
	"gannet/protocol"
)

// This file has what logic needs from elsewhere. Each port states its
// guarantee; the suite in logic/conformance holds every adapter to it. All
// methods are safe for concurrent use.

// ErrUnavailable says that a store did not answer. What was asked may or may
// not have happened; asking again is safe.
var ErrUnavailable = errors.New("logic: the store is unavailable")

// Outcome says what became of an entry.
type Outcome uint8

// The outcomes.
const (
	Unknown  Outcome = 0 // it may or may not have been carried out; asking again is safe
	Applied  Outcome = 1 // the message is new, or a cursor or an ack rose
	Repeated Outcome = 2 // the message was there already (Seq and Time are its), or nothing rose
	Refused  Outcome = 3 // nothing was done; Code says why
)

// Entry is one change to one conversation.
type Entry struct {
	Op           hop.Op // OpMessage, OpRead or OpAck
	Silent       bool   // OpMessage: does not count as unread
	Conversation protocol.Conversation
	User, Device uint64 // who makes the change; 0 and 0: the server
	ClientID     uint64 // OpMessage: the client message id, not 0

	// Frame bounds the message's encoded PUSH, header included, in Batch.Blob. Apply
	// writes seq and time into it. Empty for the other operations.
	Frame hop.Span

	// Seq is, for OpRead and OpAck, up to where the user has read or the device
	// has everything; past the head it counts as the head. For OpMessage Apply
	// sets it.
	Seq uint64

	// Results of Apply.
	Outcome         Outcome
	Code            protocol.Code // Refused
	RetryAfter      time.Duration // Refused with a code of action retry: how long to wait, 0: the client's choice
	Time            uint64        // OpMessage: Unix milliseconds, never falling within a conversation
	Delivered, Read uint64        // OpRead, OpAck: the user's cursors after the entry
	Rose            bool          // OpRead, OpAck: at least one of these cursors rose
}

// Batch is changes to conversations of one queue, in order.
type Batch struct {
	Queue   int
	Blob    []byte // frames of the entries, in the same order
	Entries []Entry

	// Err is set by Apply when the queue failed: every Outcome is Unknown then,
	// and sending the same again is safe.
	Err error
}

// Log is where messages become durable.
type Log interface {
	// Apply carries out the batches, each of its queue's conversations (those of
	// partitions p with p mod queues == queue), and returns when every one is
	// durable or has failed. Batches of one queue are carried out in the order of
	// the calls; calls that wait for one queue go into its next record together.
	// One queue's failure is its own (Batch.Err). An error of Apply itself means that
	// nothing was tried.
	//
	//   - A message whose (user, device, client id) is known in its conversation is
	//     Repeated and gets the seq and time of the first one; the same within
	//     one batch. The first one is durable then, even if its own Apply failed. A
	//     message is known as long as fewer than protocol.MaxUnacked messages of the
	//     device with a higher client id, and fewer than as many with a lower one, were
	//     accepted in the conversation after it; an adapter may forget it after 24
	//     hours. From then on a retry is Repeated, or Refused with stale_client_id; one
	//     of a device that sends its ids downwards may count as new.
	//   - Any other message gets the conversation's head plus one, also when
	//     messages with higher client ids came before it. Seqs begin at 1 and rise by
	//     one; a seq is never given out twice, whatever dies when. Where something that
	//     was acked is lost and was given up, the next seq is above all that may have been
	//     given out, and the record announces what lies between (hop.OpHole).
	//   - OpAck raises how far the device has acked, and with it the user's delivered
	//     cursor. It is visible at once to readers at the node that has the queue, and to
	//     those at others when it is written, at most once a second; up to a second's
	//     worth may be forgotten when the process dies.
	//   - A message whose seq is its device's ack plus one, or comes right behind it over
	//     such a hole, raises that ack, and with it the user's delivered cursor. Sending
	//     moves nothing else.
	//   - OpRead raises the user's read cursor, and delivered where it is below. It is
	//     durable.
	//   - Cursors and acks only rise and never pass the durable head.
	//   - But for acks, nothing that is not durable is visible through History or
	//     Inbox; everything else is once Apply has returned, at all nodes.
	//   - Once durable, what was applied goes to the Queue that transfer follows as
	//     one record, in order. The adapter owns Blob from the call on; Entries
	//     are the caller's again afterwards.
	//
	// The conversation's members are the caller's business. ctx is not heeded any
	// more once writing has begun.
	Apply(ctx context.Context, batches []*Batch) error
}

// History reads messages back.
type History interface {
	// Pages fills in the results of each page. A page that cannot be read has an
	// Err of its own; an error of Pages means that none was read.
	Pages(ctx context.Context, pages []*Page) error
}

// Page is a run of a conversation's messages.
type Page struct {
	Conversation protocol.Conversation
	From         uint64 // where it begins, inclusive; 0: at 1, or backward at the head
	To           uint64 // forward: where it ends at the latest, inclusive; 0: at the head
	Backward     bool   // From and what precedes it
	Limit        int    // messages at most
	Room         int    // bytes of Items at most, but for the first message, which always fits

	// Results. The page is complete from First to Last: a seq between them that is
	// not among the messages does not exist. Last below First: there is nothing.
	First, Last uint64
	Head        uint64 // the highest durable seq, 0 for a conversation that nobody wrote to
	Count       int
	Items       []byte // the messages in rising order, each as an item of MESSAGES: u32 length, message
	Err         error
}

// Inbox knows which conversations a user has.
type Inbox interface {
	// Changed gives a page of the user's conversations that have a message, in the
	// order of their targets (kind, then id).
	Changed(ctx context.Context, q InboxQuery) (InboxPage, error)
}

// InboxQuery asks for conversations.
type InboxQuery struct {
	User, Device uint64

	// Since leaves out conversations in which no message came and no cursor rose
	// since the page whose Next this is; some that did not change may come all the
	// same. 0, or a value that this store never gave: all.
	Since   uint64
	Unacked bool            // only those whose head is past this device's ack
	After   protocol.Target // begin behind this target; zero: at the beginning
	Limit   int             // conversations at most
	Room    int             // bytes of encoded states at most, but for the first one
}

// InboxPage answers an InboxQuery.
type InboxPage struct {
	// States have the user's view, their Last cut down to a preview, with head,
	// cursors and counts of one moment.
	States []protocol.State
	Next   uint64          // for Since of a later query; that of the first page counts
	After  protocol.Target // how far the page looked
	More   bool
}

// Social knows who is what to whom. It is asked by access.go alone.
type Social interface {
	// Rights appends what each user may do in the conversation, in order. It is
	// asked only for conversations that can exist.
	Rights(ctx context.Context, asks []Ask, dst []Rights) ([]Rights, error)
}

// Ask is a question to Social.
type Ask struct {
	User         uint64
	Conversation protocol.Conversation
}

// Rights is a set of what somebody may do.
type Rights uint8

// The rights.
const (
	MaySee   Rights = 1 << 0 // read it, ack, and get its pushes
	MayWrite Rights = 1 << 1 // send messages to it
)

// Receipts takes RECEIPT frames to the devices concerned, past the queue.
type Receipts interface {
	// Receipts sends a record of OpReceipt entries to the devices of their
	// conversations' members, but for the device that each names. It is best
	// effort: what is lost is told by the next SYNC. The record is valid until it
	// returns, the bytes of its blob stay as they are.
	Receipts(ctx context.Context, record *hop.Record) error
}

// Directory is the part of directory.Directory that logic needs.
type Directory interface {
	Draw(ctx context.Context, users, dst []uint64) (numbers []uint64, err error)
	Bind(ctx context.Context, binds []directory.Bind, dst []directory.Bound) ([]directory.Bound, error)
	Unbind(ctx context.Context, binds []directory.Bind) error
}

// Gateways reaches the gateways for what is not a push.
type Gateways interface {
	// Kick closes a connection with the code. A connection that is gone already is
	// no error.
	Kick(ctx context.Context, at hop.Address, code protocol.Code) error
}

// Tokens checks the token of a HELLO.
type Tokens interface {
	// Verify gives the user that the token names and when it ends, the zero time: never.
	// Or an error that wraps token.ErrInvalid or token.ErrExpired; any other error means
	// that it could not tell.
	Verify(token []byte) (user uint64, expires time.Time, err error)
}
