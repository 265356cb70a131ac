package gateway

import (
	"time"

	"gannet/protocol"
)

// Bounds of one connection.
const (
	// outboxBytes bounds the pushes that wait for a connection while its writer is busy: three of
	// the largest frames, or a thousand usual ones. A push that does not fit becomes a hint.
	outboxBytes = 256 << 10

	// blockedGrace is how long a blocked outbox may share its waiting bytes with others. A short
	// pause of a client then costs neither copies nor hints. All that is made in this time, and
	// that such outboxes hold together, is at most some ten megabytes.
	blockedGrace = 200 * time.Millisecond

	// blockedBytes bounds the pushes that wait for a socket that is blocked for longer: a hundred
	// usual ones, in addition to what the kernel has. A client that pauses for longer fetches
	// pages of history, which cost less than as many pushes.
	blockedBytes = 16 << 10

	// answerBytes bounds the answers that wait, not counting pages: those to all frames that may
	// be under way, at 128 bytes each. So a client that reads late is not closed for what it may
	// ask. A client that goes on asking and does not read is closed.
	answerBytes = maxWritesInFlight * 128

	// pressedAnswerBytes replaces answerBytes for a blocked socket when the budget of all
	// outboxes is used up. It is enough for the SENDACKs of one window.
	pressedAnswerBytes = 36 << 10

	// pageBytes bounds the answers to queries of one connection that wait or are under
	// way. Four at once keep a client busy that reads.
	pageBytes = 4 * maxReply

	// joinBytes is the grain of what a blocked outbox copies.
	joinBytes = 2 << 10

	// probeBytes is how much of what waits for a blocked socket is copied to find out
	// whether it takes anything.
	probeBytes = 4 << 10

	// maxReply is the largest answer to a query. So much is reserved before logic is asked.
	maxReply = 4 + protocol.MaxFrame

	// maxHints bounds the conversations that an overflowing outbox remembers. Beyond that, one
	// hint says that anything may have changed.
	maxHints = 256

	// maxUnackedConversations bounds the conversations of a connection whose pushes wait for a
	// PUSHACK. Beyond that, the oldest one gets a hint instead.
	maxUnackedConversations = 64

	// maxWritesInFlight bounds the SEND, PUSHACK and READ frames of a connection that logic has
	// not answered: the window of unacked messages in four conversations.
	maxWritesInFlight = 4 * protocol.MaxUnacked

	// windowBytes bounds the bytes of these frames: the window of SEND that WELCOME tells the
	// client, plus as many acks as are allowed.
	windowBytes = protocol.MaxWindowBytes + maxWritesInFlight*64

	// maxQueriesInFlight bounds the SYNC and HISTORY frames of a connection that logic has not
	// answered. Each may cost a page of MaxFrame.
	maxQueriesInFlight = 16

	// blockShare, maxBlockSends and maxBlockBytes bound how many tokens of its user a connection
	// takes in advance. blockShare: at most one in so many of a burst.
	blockShare    = 64
	maxBlockSends = 16
	maxBlockBytes = 4 << 10

	// maxWaitingAcks bounds the PUSHACK and READ frames of a connection that wait because it is
	// over its limit of frames. Nobody follows so many conversations at once.
	maxWaitingAcks = 256

	// maxDefied bounds the frames that are refused within defiedTicks because the connection is
	// over its limits or on hold. A long frame counts once for each longBytes. A SYNC or HISTORY
	// counts as defiedQuery frames, because a client that keeps to the limits never has more than
	// maxQueriesInFlight of them under way. A client that sends a whole window again after each
	// wait stays below maxDefied, because the waits grow.
	maxDefied   = 16 << 10
	defiedQuery = 64

	// longBytes is how many bytes of a long frame count as one frame, also for the limit of
	// frames: input costs time and memory by the byte.
	longBytes = 4 << 10

	// overLimitsRetry is the largest retry_after of a CLOSE to a client that a limit keeps out.
	// The value is random, at least half of it.
	overLimitsRetry = 20 * time.Second

	// writeTimeout is how long a socket may take no byte at all before the connection is closed.
	// It is longer than a mobile handover, and shorter than the kernel's own retransmission limit
	// of about 15 minutes.
	writeTimeout = 30 * time.Second

	// pressedTimeout replaces writeTimeout when the budget of all outboxes is used up. It is
	// longer than a busy client pauses.
	pressedTimeout = 5 * time.Second

	// goodbyeTimeout is how long a connection that is to end may take for the rest of a cut
	// frame, everything else that waits, and CLOSE. It is enough for a client that begins to read
	// again, and short enough for a stop to wait. After it the connection is reset, so that no
	// client takes half a frame for the end.
	goodbyeTimeout = time.Second

	// kernelBytes is SO_SNDBUF of accepted sockets. The kernel doubles it for its own overhead.
	// Without it, the kernel lets each buffer grow to 4 MiB (tcp_wmem), so a few hundred clients
	// that stop reading would fill the memory that it allows all TCP sockets of the machine
	// together. It is enough for at least one page of history per round trip, which is a megabyte
	// a second at 60 ms; on loopback nothing gets slower.
	kernelBytes = 64 << 10

	// unsentBytes is TCP_NOTSENT_LOWAT of accepted sockets. A socket becomes blocked when it
	// holds this many bytes beyond what the peer has room for. So the socket of a client that has
	// stopped reading unnoticed holds little. Bytes on their way count as sent, so a long path is
	// still filled. The socket asks for more when half of it is left; on a link of 100 Mbit/s
	// that half lasts two thirds of a millisecond.
	//
	// kernelHolds is what the kernel then holds for a socket that takes nothing, including a last
	// segment of 32 KiB and its own overhead. It counts in the budget of DefaultOutboxMemory.
	// Bytes on their way to a client that does not acknowledge them, up to three times
	// kernelBytes, are in no budget; the heartbeat ends such a connection.
	unsentBytes = 16 << 10
	kernelHolds = 64 << 10
)

// Bounds of the gateway.
const (
	// beforeLoginShare is the share of all places (one in so many) for connections that have not
	// logged in, unless the configuration sets another. A login takes milliseconds, so larger
	// numbers of them are only a burden. A gateway with few places still lets minBeforeLogin log
	// in at once.
	beforeLoginShare = 10
	minBeforeLogin   = 16

	// DefaultMaxPerAddress bounds the connections of one address, unless the configuration sets
	// another limit. It is enough for an office behind one address, and one machine gets only a
	// hundredth of a gateway.
	DefaultMaxPerAddress = 200

	// acceptsPerWake bounds how many connections are turned away before the poller looks at other
	// sockets again. Each takes some 10 microseconds.
	acceptsPerWake = 32

	// acceptPause is how long no connection is accepted after there was no descriptor or no
	// memory for one. Others have to leave first; connections that wait are accepted later.
	acceptPause = 100 * time.Millisecond

	// maxRetry is the longest retry_after, before it is spread.
	maxRetry = time.Minute

	// closeBytes is room for a CLOSE with the meaning of any code.
	closeBytes = 256

	// laneBytes and laneFrames bound what waits in one lane while a batch is under way: more than
	// a tenth of a second's work of the fastest lane measured.
	laneBytes  = 8 << 20
	laneFrames = 32 << 10

	// shareBytes and shareFrames are how much one connection may have waiting in the queue of a
	// lane. A connection with more gets as much of a batch each time that its turn comes. It is
	// some three times what a client with 32 short messages under way has.
	shareBytes  = 16 << 10
	shareFrames = 128

	// reserveBytes and reserveFrames are room in addition to a full lane, for connections that
	// have nothing in it: enough for a short message of each connection that a gateway may have.
	reserveBytes  = 4 << 20
	reserveFrames = 20 << 10

	// surplusShare is the share of every batch (one in so many) that is kept for connections with
	// more than their share waiting, as long as there are any, so that the others cannot starve
	// them. It is more if their longest frame needs more.
	surplusShare = 4

	// DefaultBatchBytes bounds a batch, unless the configuration sets another size. A sync of the
	// disk takes a millisecond and more whatever its size, so much smaller batches cost
	// throughput. In much larger ones everybody waits for everybody, and the data of a batch
	// leaves the cache of a core before the last step.
	DefaultBatchBytes = 512 << 10

	// minBatchBytes is the smallest limit of a batch: the longest frame plus the share of one
	// connection, so that neither keeps the other out.
	minBatchBytes = 4 + protocol.MaxFrame + shareBytes

	// laneSpare is how many batches a lane keeps to be filled again.
	laneSpare = 2

	// queryQueue bounds the queries that wait for a worker. One more of each user may always
	// wait.
	queryQueue = 16 << 10

	// questionBytes is how much is kept of a query; a query needs less than half of it. maxAgain
	// bounds how many ranges to push again may wait for a worker, for each user.
	questionBytes = 128
	maxAgain      = 64

	// loginQueue bounds the logins that wait for a worker: nearly as many as a gateway has
	// places. loginWorkers is how many calls are under way at once. Each call takes along all
	// logins that wait, up to loginMost HELLOs or loginBytes. The reason for these limits:
	// checking a signature takes up to a tenth of a millisecond, and nobody should wait long for
	// the others in the same call.
	loginQueue   = 16 << 10
	loginWorkers = 4
	loginMost    = 128
	loginBytes   = 256 << 10

	// maxLogouts bounds the ended connections of which logic was not told yet: all
	// that a gateway may have, and once as many again.
	maxLogouts = 64 << 10

	// logoutTries is how often the gateway tries to tell logic of an ended connection.
	logoutTries = 3

	// maxHold bounds how long an answer of logic holds the SENDs of a connection.
	maxHold = time.Minute

	// busyRetry is the retry_after of an answer that says that something is not possible at the
	// moment. drainRetry is the time over which a few clients that got CLOSE with draining come
	// back. Many clients get drainEach for each of them, up to maxRetry: two cores can let in
	// some 6,500 clients a second beside their other work, and the gateways that take over have
	// their own users.
	busyRetry  = 100 * time.Millisecond
	drainRetry = 2 * time.Second
	drainEach  = 200 * time.Microsecond

	// DefaultOutboxMemory bounds what waits for all blocked sockets together, here and in the
	// kernel, unless the configuration sets another limit. It is an eighth of a small machine's
	// memory. Some 6,500 clients, a third of all connections, may stop reading at once before any
	// is given up sooner.
	DefaultOutboxMemory = 512 << 20

	// DefaultBegunMemory bounds the frames of all connections together that have begun and are
	// not whole, unless the configuration sets another limit: a thousand of the longest frames,
	// or a few KB for every connection.
	DefaultBegunMemory = 64 << 20

	// DefaultMaxConnections bounds the connections, unless the configuration sets another limit:
	// a process may have 20,000 files, and the store needs some of them.
	DefaultMaxConnections = 18000
)

// Keepalive of the kernel. The heartbeat finds a silent peer long before. Keepalive is for
// clients that have asked for a long heartbeat: it keeps the entries of routers and load
// balancers alive, and it finds a dead peer after four minutes, while the heartbeat interval may
// be up to five. TCP_USER_TIMEOUT is not set: it would end the connection of a peer that takes
// bytes slowly, for which there is writeTimeout. Unacked bytes of a dead peer in the kernel go
// when the heartbeat ends the connection.
const (
	keepAliveIdle     = 2 * time.Minute
	keepAliveInterval = 30 * time.Second
	keepAliveProbes   = 4
)

// Times, most of them in ticks of the wheel.
const (
	// tick is the grain of every timeout.
	tick = 20 * time.Millisecond

	// wheelSlots times tick is one turn of the wheel, about 20 s. Later times go round more than
	// once.
	wheelSlots = 1024

	// minBusyTicks and maxBusyTicks bound how long a client waits whose frame was refused because
	// too much of its own waits or because a lane is full. In the first, a tenth of a second, a
	// lane carries what it holds; the second is for ten times as much. Longer waits help nobody,
	// because clients with nothing waiting are not crowded out.
	minBusyTicks = 5
	maxBusyTicks = 50

	// failingTicks is how long acks whose calls fail are tried again: as long as a restart of a
	// part of the system takes. A lost ack is made up for by a later one of the conversation, or
	// by the next SYNC.
	failingTicks = int64(30 * time.Second / tick)

	// crowdedTicks is how long a connection that has sent nothing need not give way, and how long
	// after the last login newcomers wait. In half a second a HELLO that was sent at once has
	// arrived and was read, even on a busy machine.
	crowdedTicks = int64(500 * time.Millisecond / tick)

	// sweepTicks is how often expired bans of addresses are removed.
	sweepTicks = int64(5 * time.Second / tick)

	// minHoldTicks is the shortest time for which a SEND over a limit holds the SENDs behind it.
	// By then those that were sent before its ERROR arrived have come. maxHoldTicks is the
	// longest: in that time no bucket of the default limits fills, so a client loses nothing of
	// what it is allowed.
	minHoldTicks = int64(200 * time.Millisecond / tick)
	maxHoldTicks = int64(4 * time.Second / tick)

	// defiedTicks is the time over which refusals are counted. minHeldTicks is how long a SEND
	// waits that is refused near the end of a hold.
	defiedTicks  = int64(10 * time.Second / tick)
	minHeldTicks = 2

	loginTicks   = int64(protocol.LoginTimeout / tick)
	pushAckTicks = int64(protocol.PushAckTimeout / tick)
	writeTicks   = int64(writeTimeout / tick)
	pressedTicks = int64(pressedTimeout / tick)
	graceTicks   = int64(blockedGrace / tick)
	goodbyeTicks = int64(goodbyeTimeout / tick)

	// probeTicks is how often a blocked socket is tried although the kernel did not report it as
	// writable. The kernel reports that only when a third of its buffer is free, which may take a
	// slow reader longer than writeTimeout. There are two tries within pressedTimeout.
	probeTicks = int64(2 * time.Second / tick)

	// maxExpiry bounds, in seconds, how far ahead the end of a token is scheduled: a day, far
	// beyond the next heartbeat.
	maxExpiry = 24 * 60 * 60

	// receiptTicks is how long a RECEIPT waits for a write that happens anyway: a tenth of a
	// second. Nobody notices that, and in a busy conversation there is such a write in that time.
	receiptTicks = 5
)

// heartbeatTicks gives a heartbeat interval in ticks. It keeps to the limits of the wire whatever
// logic says.
func heartbeatTicks(seconds uint16) int64 {
	interval := min(max(time.Duration(seconds)*time.Second, protocol.MinHeartbeat), protocol.MaxHeartbeat)
	return int64(interval / tick)
}

// seconds gives whole seconds, for the kernel.
func seconds(d time.Duration) int { return int(d / time.Second) }
