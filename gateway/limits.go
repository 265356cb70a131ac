package gateway

import (
	"time"

	"gannet/protocol"
)

// Bounds of one connection.
const (
	// outboxBytes bounds the pushes that wait for a connection's socket while the
	// writer is on its way: three of the largest frames, or a thousand usual ones.
	// What does not fit becomes a hint.
	outboxBytes = 256 << 10

	// blockedGrace is how long a blocked outbox may share what waits in it with others: a
	// short pause of a reader costs neither copies nor hints, and what is made meanwhile,
	// which all such outboxes hold together, is some ten megabytes at the most.
	blockedGrace = 200 * time.Millisecond

	// blockedBytes bounds the pushes that wait for a socket that is blocked for longer,
	// a hundred usual ones beside what the kernel has. Who pauses for longer fetches
	// pages of history, which cost less than as many pushes.
	blockedBytes = 16 << 10

	// answerBytes bounds the answers that wait beside pages: those of all frames that
	// may be under way, at 128 bytes, so that a client that reads late is not closed
	// for what it may ask. One that goes on asking and does not read is.
	answerBytes = maxWritesInFlight * 128

	// pressedAnswerBytes is answerBytes of a blocked socket once the budget of all
	// outboxes is used up: the SENDACKs of one window.
	pressedAnswerBytes = 36 << 10

	// pageBytes bounds the answers to queries of one connection that wait or are under
	// way. Four at once keep a client busy that reads.
	pageBytes = 4 * maxReply

	// joinBytes is the grain of what a blocked outbox copies.
	joinBytes = 2 << 10

	// probeBytes is how much of what waits for a blocked socket is copied to find out
	// whether it takes anything.
	probeBytes = 4 << 10

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

	// windowBytes bounds the bytes of these frames: the window of SEND that WELCOME
	// tells, and beside it as many acks as may be.
	windowBytes = protocol.MaxWindowBytes + maxWritesInFlight*64

	// maxQueriesInFlight bounds the SYNC and HISTORY frames of a connection that
	// logic has not answered; each may cost a page of MaxFrame.
	maxQueriesInFlight = 16

	// blockShare, maxBlockSends and maxBlockBytes bound how many tokens of its user a
	// connection takes ahead of time: at most this part of a burst.
	blockShare    = 64
	maxBlockSends = 16
	maxBlockBytes = 4 << 10

	// maxWaitingAcks bounds the PUSHACK and READ of a connection that wait because it
	// is over its limit of frames: more conversations than anybody follows at once.
	maxWaitingAcks = 256

	// maxDefied bounds the frames that are refused within defiedTicks because the
	// connection is over its limits, or on hold; of a long frame each longBytes count, and a
	// SYNC or HISTORY counts as defiedQuery frames: of those nobody who keeps to the limits
	// has more than maxQueriesInFlight under way.
	// A client that sends a whole window again after each wait stays below it, for
	// those waits grow.
	maxDefied   = 16 << 10
	defiedQuery = 64

	// longBytes is how many bytes of a long frame count as a frame, for the limit of
	// frames too: what comes costs time and memory by the byte, whatever is in it.
	longBytes = 4 << 10

	// overLimitsRetry bounds, from half of it on, the retry_after of a CLOSE to whom a
	// limit keeps out.
	overLimitsRetry = 20 * time.Second

	// writeTimeout is how long a socket may take not one byte before the
	// connection is closed: longer than a mobile handover, shorter than the
	// kernel's own retransmission limit of about 15 minutes.
	writeTimeout = 30 * time.Second

	// pressedTimeout is writeTimeout once the budget of all outboxes is used up: longer
	// than a busy client pauses.
	pressedTimeout = 5 * time.Second

	// goodbyeTimeout is how long a connection that is to end may take for the frame that
	// it was cut in, what else waits and CLOSE: enough for a client that reads at last, and
	// short enough for a stop to wait. Then the connection is reset, so that nobody
	// takes half a frame for the end.
	goodbyeTimeout = time.Second

	// kernelBytes is SO_SNDBUF of accepted sockets; the kernel doubles it, for its own
	// overhead. By itself it lets each buffer grow to 4 MiB (tcp_wmem), so a few hundred
	// readers that stop would fill the memory that it allows all TCP sockets of the
	// machine together. A round trip carries at least a page of history, a megabyte a
	// second at 60 ms; on loopback nothing is slower.
	kernelBytes = 64 << 10

	// unsentBytes is TCP_NOTSENT_LOWAT of accepted sockets: what the peer has no room for
	// beyond that makes the socket a blocked one. So a socket of which nobody knows that its
	// client has stopped to read holds little. What is on its way counts as sent, so a long
	// way is filled as before; the socket asks for more when half of it is left, which on a
	// link of 100 Mbit/s it is for a third of a millisecond. kernelHolds is what the kernel
	// then has for a socket that takes nothing, a last segment of 32 KiB and its own overhead
	// included: it is in the budget of DefaultOutboxMemory. What is on its way to a client
	// that does not acknowledge it, up to thrice kernelBytes, is in no budget, and gone with
	// its heartbeat.
	unsentBytes = 16 << 10
	kernelHolds = 64 << 10
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

	// surplusShare is which part of every batch is kept, while there are any, for
	// connections that have more than their share waiting, so that the others cannot
	// starve them; more where it takes more for their longest frame.
	surplusShare = 4

	// DefaultBatchBytes bounds a batch unless the configuration sets another size. A sync
	// of the disk takes a millisecond and more whatever its size, so much smaller
	// batches cost throughput; in much larger ones everybody waits for everybody, and
	// what a batch touches leaves the cache of a core before its last step.
	DefaultBatchBytes = 512 << 10

	// minBatchBytes is the smallest bound: the longest frame, and beside it what one
	// connection may have waiting in the queue, so that neither keeps the other out.
	minBatchBytes = 4 + protocol.MaxFrame + shareBytes

	// laneSpare is how many batches a lane keeps to be filled again.
	laneSpare = 2

	// queryQueue bounds the queries that wait for a worker, but for one of each user.
	queryQueue = 16 << 10

	// questionBytes is what is kept of a query, which needs less than half of it, and
	// maxAgain bounds the ranges to be pushed again of a user that wait for a worker.
	questionBytes = 128
	maxAgain      = 64

	// loginQueue bounds the logins that wait for a worker: nearly as many as a gateway
	// has places. loginWorkers is how many calls are under way at once; each takes along
	// what waits, but no more than loginMost HELLOs, and no more of them once they have
	// loginBytes: a signature takes up to a tenth of a millisecond to check, so that
	// nobody waits for long for those with whom they travel.
	loginQueue   = 16 << 10
	loginWorkers = 4
	loginMost    = 128
	loginBytes   = 256 << 10

	// maxLogouts bounds the ended connections of which logic was not told yet: all
	// that a gateway may have, and once as many again.
	maxLogouts = 64 << 10

	// logoutTries is how often logic is told who has gone.
	logoutTries = 3

	// maxHold bounds how long an answer of logic holds the SENDs of a connection.
	maxHold = time.Minute

	// busyRetry is the retry_after of an answer that something is not possible for
	// the moment, and drainRetry the longest one of a CLOSE that says draining to few:
	// clients come back spread over it. Many take drainEach for each of them, up to
	// maxRetry: two cores let some 6,500 in a second beside their other work, and
	// whoever takes over has its own users.
	busyRetry  = 100 * time.Millisecond
	drainRetry = 2 * time.Second
	drainEach  = 200 * time.Microsecond

	// DefaultOutboxMemory bounds what waits for all blocked sockets together, here and in
	// the kernel, unless the configuration sets another: an eighth of a small machine's
	// memory, and room for some 6,500 readers which stop at once, a third of all
	// connections, before they are given up sooner.
	DefaultOutboxMemory = 512 << 20

	// DefaultBegunMemory bounds the frames that have begun and are not whole, of all
	// connections together, unless the configuration sets another: a thousand of the
	// longest, or a few KB of every connection.
	DefaultBegunMemory = 64 << 20

	// DefaultMaxConnections is the bound on connections unless the configuration
	// sets another: a process of 20,000 files, less those of the store.
	DefaultMaxConnections = 18000
)

// Keepalive of the kernel. The heartbeat finds a silent peer long before; this keeps
// the entries of routers and load balancers alive for clients that have asked for a
// long heartbeat, and finds a dead peer where the heartbeat is longest: after four
// minutes, its interval being up to five. There is no TCP_USER_TIMEOUT: it would end
// the wait for a peer that takes bytes slowly, for which writeTimeout is there, and
// what lies unacked in the kernel of a peer that is gone goes with its
// connection, which the heartbeat ends.
const (
	keepAliveIdle     = 2 * time.Minute
	keepAliveInterval = 30 * time.Second
	keepAliveProbes   = 4
)

// Times of the wheel.
const (
	// tick is the grain of every timeout.
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

	// failingTicks is for how long acks are tried again whose calls fail: as long as a
	// part of the system takes to be restarted. A later ack of the conversation, or the
	// next SYNC, makes up for one that is lost.
	failingTicks = int64(30 * time.Second / tick)

	// crowdedTicks is for how long somebody who has said nothing does not give way, and
	// how long after the last login newcomers wait: half a second, in which a HELLO
	// that was sent at once has come, and was read on a busy machine too.
	crowdedTicks = int64(500 * time.Millisecond / tick)

	// sweepTicks is how often addresses that may log in again are forgotten.
	sweepTicks = int64(5 * time.Second / tick)

	// minHoldTicks is how long a SEND over a limit holds the SENDs behind it at least:
	// those that were sent before its ERROR arrived have come by then. maxHoldTicks is
	// how far that grows: in that time no bucket of the defaults fills, so nothing of
	// what is allowed is lost by it.
	minHoldTicks = int64(200 * time.Millisecond / tick)
	maxHoldTicks = int64(4 * time.Second / tick)

	// defiedTicks is for how long refusals are counted, and minHeldTicks how long a
	// SEND that is refused near the end of a hold waits.
	defiedTicks  = int64(10 * time.Second / tick)
	minHeldTicks = 2

	loginTicks   = int64(protocol.LoginTimeout / tick)
	pushAckTicks = int64(protocol.PushAckTimeout / tick)
	writeTicks   = int64(writeTimeout / tick)
	pressedTicks = int64(pressedTimeout / tick)
	graceTicks   = int64(blockedGrace / tick)
	goodbyeTicks = int64(goodbyeTimeout / tick)

	// probeTicks is how often a blocked socket is tried although it did not say that it
	// takes bytes: a kernel says so only when a third of its buffer is free, which a
	// slow reader may take longer for than writeTimeout. It is tried twice before
	// pressedTimeout is over.
	probeTicks = int64(2 * time.Second / tick)

	// maxExpiry is how far ahead, in seconds, the end of a token is looked at: a day, far
	// beyond the next heartbeat.
	maxExpiry = 24 * 60 * 60

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
