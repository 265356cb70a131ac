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

	// maxHints bounds the conversations that an overflowing outbox remembers;
	// beyond it one hint says that anything may have changed.
	maxHints = 256

	// maxUnackedConversations bounds the conversations of a connection whose
	// pushes wait for a PUSHACK; for the oldest one beyond it a hint goes out.
	maxUnackedConversations = 64

	// maxWritesInFlight bounds the SEND, PUSHACK and READ frames of a connection
	// that logic has not answered: its window in a handful of conversations.
	maxWritesInFlight = 4 * protocol.MaxUnacked

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
	// beforeLoginShare is which part of all places may be taken by connections that
	// have not logged in, unless the configuration says how many: a login takes
	// milliseconds, so many more of them are there to be a burden. A gateway with few
	// places lets minBeforeLogin log in at once all the same.
	beforeLoginShare = 10
	minBeforeLogin   = 16

	// DefaultMaxPerAddress bounds the connections of one address unless the
	// configuration sets another: an office behind one address is let in, one machine
	// takes a hundredth of a gateway.
	DefaultMaxPerAddress = 200

	// acceptsPerWake bounds those who are turned away before the poller looks at
	// other sockets again: each takes some 10 microseconds.
	acceptsPerWake = 32

	// acceptPause is how long nobody is accepted after there was no descriptor or no
	// memory for it: others have to leave first, and who waits is accepted then.
	acceptPause = 100 * time.Millisecond

	// maxRetry is the longest retry_after, before it is spread.
	maxRetry = time.Minute

	// closeBytes is room for a CLOSE with the meaning of any code.
	closeBytes = 256

	// laneBytes and laneFrames bound what waits in one lane while a batch of it
	// is under way: a tenth of a second and more of the fastest lane measured.
	laneBytes  = 8 << 20
	laneFrames = 32 << 10

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

	// busyRetry is the retry_after of an answer that something is not possible for
	// the moment, and drainRetry the longest one of a CLOSE that says draining:
	// clients come back spread over it.
	busyRetry  = 100 * time.Millisecond
	drainRetry = 2 * time.Second

	// DefaultMaxConnections is the bound on connections unless the configuration
	// sets another: a process of 20,000 files, less those of the store.
	DefaultMaxConnections = 18000
)

// Keepalive of the kernel. The heartbeat finds a silent peer long before; this keeps
// the entries of routers and load balancers alive for clients that have asked for a
// long heartbeat, and finds a dead peer where the heartbeat is longest: after four
// minutes, its interval being up to five. There is no TCP_USER_TIMEOUT: it would end
// the wait for a peer that takes bytes slowly, for which writeTimeout is there, and
// what lies unacked in the kernel of a peer that is gone costs nothing but its
// connection, which the heartbeat ends.
const (
	keepAliveIdle     = 2 * time.Minute
	keepAliveInterval = 30 * time.Second
	keepAliveProbes   = 4
)

// Times of the wheel.
const (
	// tick is the grain of every timeout. A blocked socket is tried again each
	// tick.
	tick = 20 * time.Millisecond

	// wheelSlots times tick is the wheel's turn, about 20 s; what is due later
	// goes round more than once.
	wheelSlots = 1024

	// minBusyTicks and maxBusyTicks bound the wait of a client that a full lane
	// refuses: a tenth of a second, in which a lane carries what it holds, and what a
	// hundred times as much takes.
	minBusyTicks = 5
	maxBusyTicks = 250

	// sweepTicks is how often addresses that may log in again are forgotten.
	sweepTicks = int64(5 * time.Second / tick)

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

// seconds gives whole seconds, for the kernel.
func seconds(d time.Duration) int { return int(d / time.Second) }
