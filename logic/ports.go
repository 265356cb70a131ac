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

// ErrUnavailable says that a store did not answer. The request may or may not have been carried
// out. Sending it again is safe.
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

	// Seq is for OpRead the seq up to which the user has read, and for OpAck the seq up to which
	// the device has everything. A seq past the head counts as the head. For OpMessage Apply sets
	// it.
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

	// Err is set by Apply if the queue failed. Then every Outcome is Unknown, and sending the batch
	// again is safe.
	Err error
}

// Log is where messages become durable.
type Log interface {
	// Apply carries out the batches, each of its queue's conversations (those of partitions p with
	// p mod queues == queue). It returns when every batch is durable or has failed. Batches of one
	// queue are carried out in the order of the calls; calls that wait for one queue go into its
	// next record together. If one queue fails, the others go on (Batch.Err). An error of Apply
	// itself means that nothing was tried.
	//
	//   - A message whose (user, device, client id) is known in its conversation is
	//     Repeated and gets the seq and time of the first one, also within one batch. The
	//     first one is durable then, even if its own Apply failed. A message is known as long
	//     as, after it, fewer than protocol.MaxUnacked messages of the device with a higher
	//     client id, and fewer than that many with a lower one, were accepted in the
	//     conversation. An adapter may also forget it after 24 hours. A retry of a forgotten
	//     message is Repeated, or Refused with stale_client_id. Only if the device sends its
	//     ids downwards, the retry may count as new.
	//   - Any other message gets the conversation's head plus one, also if messages with
	//     higher client ids came before it. Seqs begin at 1 and rise by one. A seq is never
	//     given out twice, whatever dies when. If something that was acked is lost and was
	//     given up, the next seq is above all that may have been given out, and the record
	//     announces the hole (hop.OpHole).
	//   - OpAck raises how far the device has acked, and with it the user's delivered
	//     cursor. Readers at the node that has the queue see that at once. Readers at other
	//     nodes see it when it is written, at most once a second. When the process dies, up
	//     to one second of acks may be forgotten.
	//   - A message whose seq is its device's ack plus one, or follows that ack right
	//     behind such a hole, raises that ack, and with it the user's delivered cursor. Sending
	//     moves nothing else.
	//   - OpRead raises the user's read cursor, and the delivered cursor if that is lower.
	//     It is durable.
	//   - Cursors and acks only rise and never pass the durable head.
	//   - Apart from acks, History and Inbox never show what is not durable. They show
	//     everything else at all nodes once Apply has returned.
	//   - Once durable, what was applied goes to the Queue that transfer follows as
	//     one record, in order. The adapter owns Blob from the call on. The caller gets
	//     Entries back when Apply returns.
	//
	// The caller checks who is a member of a conversation. Once writing has begun, Apply ignores
	// ctx.
	Apply(ctx context.Context, batches []*Batch) error
}

// History reads messages back.
type History interface {
	// Pages fills in the results of each page. If a page cannot be read, its Err is set. An error
	// of Pages means that none was read.
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

	// Since leaves out conversations in which no message came and no cursor rose since the page
	// that had this value as its Next. Some unchanged conversations may come all the same. A
	// conversation whose Unread was at its maximum comes when Unread is exact again. 0, or a value
	// that this store never gave, asks for all conversations.
	Since   uint64
	Unacked bool            // only those whose head is past this device's ack
	After   protocol.Target // begin behind this target; zero: at the beginning
	Limit   int             // conversations at most
	Room    int             // bytes of encoded states at most, but for the first one
}

// InboxPage answers an InboxQuery.
type InboxPage struct {
	// States are the conversations as the user sees them. Last is cut down to a preview. The head,
	// cursors and counts of a conversation are from one moment.
	States []protocol.State
	Next   uint64          // for Since of a later query; use the Next of the first page
	After  protocol.Target // how far the page looked
	More   bool
}

// Social knows which users may use which conversations. Only access.go asks it.
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

// Receipts takes RECEIPT frames to the devices that need them. They do not go through the queue.
type Receipts interface {
	// Receipts sends a record of OpReceipt entries. The receipt of an entry goes to the devices of
	// the conversation's members, except the device that the entry names. It is best effort: the
	// next SYNC tells what was lost. The record is valid until Receipts returns; the bytes of its
	// blob stay unchanged.
	Receipts(ctx context.Context, record *hop.Record) error
}

// Directory is the part of directory.Directory that logic needs.
type Directory interface {
	Draw(ctx context.Context, users, dst []uint64) (numbers []uint64, err error)
	Bind(ctx context.Context, binds []directory.Bind, dst []directory.Bound) ([]directory.Bound, error)
	Unbind(ctx context.Context, binds []directory.Bind) error
}

// Gateways reaches the gateways for everything except pushes.
type Gateways interface {
	// Kick closes a connection with the code. A connection that is gone already is
	// no error.
	Kick(ctx context.Context, at hop.Address, code protocol.Code) error
}

// Tokens checks the token of a HELLO.
type Tokens interface {
	// Verify gives the user that the token names and when the token ends; the zero time means
	// never. An error that wraps token.ErrInvalid or token.ErrExpired refuses the token. Any other
	// error means that Verify could not tell.
	Verify(token []byte) (user uint64, expires time.Time, err error)
}
