package gateway

import (
	"time"

	"gannet/protocol"
)

// Bounds of one connection.
const (
	// outboxBytes bounds the pushes that wait for a connection's socket: three
	// of the largest frames, or a thousand usual ones. What does not fit becomes
	// a hint.
	outboxBytes = 256 << 10

	// replyBytes is the further room for replies, which cannot become hints. A
	// client that keeps asking and does not read uses it up and is closed.
	replyBytes = 256 << 10

	// maxReply is the largest answer to a query: what is reserved before logic is
	// asked.
	maxReply = 4 + protocol.MaxFrame

	// maxHints bounds the conversations that an overflowing outbox remembers;
	// beyond it one hint says that anything may have changed.
	maxHints = 256

	// maxUnackedConversations bounds the conversations of a connection whose
	// pushes wait for a PUSHACK; for the oldest one beyond it a hint goes out.
	maxUnackedConversations = 64

	// maxWritesInFlight bounds the SEND, PUSHACK and READ frames of a connection
	// that logic has not answered: its window in a handful of conversations.
	maxWritesInFlight = 4 * protocol.MaxUnacked

	// windowBytes bounds the bytes of these frames; WELCOME tells it. It is sixteen of
	// the longest frames, an eighth of a lane, and far more than a window of usual ones.
	windowBytes = 1 << 20

	// maxQueriesInFlight bounds the SYNC and HISTORY frames of a connection that
	// logic has not answered; each may cost a page of MaxFrame.
	maxQueriesInFlight = 16

	// writeTimeout is how long a socket may take not one byte before the
	// connection is closed: longer than a mobile handover, shorter than the
	// kernel's own retransmission limit of about 15 minutes.
	writeTimeout = 30 * time.Second
)

// Bounds of the gateway.
const (
	// laneBytes and laneFrames bound what waits in one lane while a batch of it
	// is under way: a tenth of a second and more of the fastest lane measured.
	laneBytes  = 8 << 20
	laneFrames = 32 << 10

	// shareBytes and shareFrames are what one connection may have waiting in a lane in
	// the order in which it came, and what it gets of a batch each time that its turn
	// comes for what it has beyond that: some three times what a client with 32 short
	// messages under way has.
	shareBytes  = 16 << 10
	shareFrames = 128

	// reserveBytes and reserveFrames are room on top of a full lane, for connections
	// that have nothing in it: all that a gateway may hold, with a short message each.
	reserveBytes  = 4 << 20
	reserveFrames = 20 << 10

	// surplusBytes is kept in every batch, while there are any, for connections that
	// have more than their share waiting, so that the others cannot starve them: room
	// for the longest frame.
	surplusBytes = batchBytes / 4

	// batchBytes bounds the frames of one batch, but for a single larger frame. A sync
	// of the disk takes a millisecond and more whatever its size, so much smaller
	// batches cost throughput; in much larger ones everybody waits for everybody, and
	// what a batch touches leaves the cache of a core before its last step.
	batchBytes = 512 << 10

	// laneSpare is how many batches a lane keeps to be filled again.
	laneSpare = 2

	// queryQueue bounds the logins and queries that wait for a worker.
	queryQueue = 16 << 10

	// maxLogouts bounds the ended connections of which logic was not told yet: all
	// that a gateway may have, and once as many again.
	maxLogouts = 64 << 10

	// logoutTries is how often logic is told who has gone.
	logoutTries = 3

	// maxHold bounds how long an answer of logic holds the SENDs of a connection.
	maxHold = time.Minute

	// busyRetry is the retry_after of an answer that something is not possible for
	// the moment, and drainRetry the longest one of a CLOSE that says draining:
	// clients come back spread over it.
	busyRetry  = 100 * time.Millisecond
	drainRetry = 2 * time.Second

	// DefaultMaxConnections is the bound on connections unless the configuration
	// sets another: a process of 20,000 files, less those of the store.
	DefaultMaxConnections = 18000
)

// Times of the wheel.
const (
	// tick is the grain of every timeout. A blocked socket is tried again each
	// tick.
	tick = 20 * time.Millisecond

	// wheelSlots times tick is the wheel's turn, about 20 s; what is due later
	// goes round more than once.
	wheelSlots = 1024

	// minBusyTicks and maxBusyTicks bound the wait of a client that is refused because
	// too much of its own waits, or because a lane is full: a tenth of a second, in which
	// a lane carries what it holds, and what ten times as much takes. Longer waits would
	// help nobody, for whoever has nothing waiting is not crowded out.
	minBusyTicks = 5
	maxBusyTicks = 50

	loginTicks   = int64(protocol.LoginTimeout / tick)
	pushAckTicks = int64(protocol.PushAckTimeout / tick)
	writeTicks   = int64(writeTimeout / tick)

	// receiptTicks is how long a RECEIPT waits for a write that happens anyway: a
	// tenth of a second, which nobody notices, and in which a busy conversation
	// has one.
	receiptTicks = 5
)

// heartbeatTicks gives the ticks of a heartbeat interval in seconds, within the
// limits of the wire, whatever logic says.
func heartbeatTicks(seconds uint16) int64 {
	interval := min(max(time.Duration(seconds)*time.Second, protocol.MinHeartbeat), protocol.MaxHeartbeat)
	return int64(interval / tick)
}
