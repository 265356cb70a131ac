package gateway

import (
	"runtime/debug"
	"sync/atomic"

	"gannet/internal/operate"
	"gannet/protocol"
)

// counters counts, by name, why connections ended and pushes did not go out,
// and what went through.
type counters struct {
	// Changed for every message. The cacheLines keep apart what the poller, the lanes and the
	// writers write, because a cache line that moves from core to core costs more than the
	// message itself.
	accepted atomic.Uint64
	reads    atomic.Uint64 // times that a socket brought something
	bytesIn  atomic.Uint64
	framesIn atomic.Uint64
	_        cacheLine
	requests atomic.Uint64 // frames handed to logic
	batches  atomic.Uint64 // in which they went
	pushes   atomic.Uint64 // frames for a connection that went into its outbox or became a hint
	_        cacheLine
	writes   atomic.Uint64 // write calls
	bytesOut atomic.Uint64
	_        cacheLine

	blocks atomic.Uint64 // times that a socket did not take everything, and was waited for
	resets atomic.Uint64 // connections that were reset instead of closed cleanly

	handshakes atomic.Uint64 // TLS handshakes that failed

	// Why a connection was not let in.
	refused      [refusals]atomic.Uint64
	acceptFailed atomic.Uint64 // times that accept failed: no descriptor or memory was free

	// Why a push did not go out, or not yet.
	pushAbsent     atomic.Uint64 // the connection is gone
	pushOutboxFull atomic.Uint64 // became a hint
	pushBlocked    atomic.Uint64 // likewise, since the socket was blocked
	pushAgain      atomic.Uint64 // no PUSHACK in time: asked logic to push again
	pushGivenUp    atomic.Uint64 // no PUSHACK after the last push: waits in the store
	pushUntracked  atomic.Uint64 // too many conversations unacked: the oldest got a hint

	// Why a request did not go to logic.
	refusedBusy    atomic.Uint64
	refusedTooMany atomic.Uint64
	refusedType    atomic.Uint64
	refusedWindow  atomic.Uint64 // those of refusedTooMany that were over the window of bytes

	// What was dropped because its connection had ended before its turn came.
	droppedFrames  atomic.Uint64
	droppedQueries atomic.Uint64
	droppedLogins  atomic.Uint64
	loginCalls     atomic.Uint64

	droppedOffenders atomic.Uint64 // bans of users that ended early to make room for others

	begunDropped atomic.Uint64 // connections closed because their frame had begun too long ago

	refusedUserRate  atomic.Uint64 // over a limit of the user
	refusedFrameRate atomic.Uint64 // over the limit of frames of the connection
	refusedHeld      atomic.Uint64 // SENDs behind one that was refused

	// PUSHACK and READ that wait.
	acksPostponed atomic.Uint64 // because their lane had no room, or logic could not take them yet
	acksMerged    atomic.Uint64 // into one that waited
	acksForced    atomic.Uint64 // over the limit of frames, but went at once because too many waited
	acksLost      atomic.Uint64 // waited when their connection ended, and the lane had no room, or were in calls that failed

	// What was bound in the directory again.
	epochs     atomic.Uint64 // new epochs (Renew)
	bound      atomic.Uint64 // connections that were bound
	bindFailed atomic.Uint64 // calls that gave an error, and are made again
	bindLost   atomic.Uint64 // connections that later logins had replaced
	hinted     atomic.Uint64 // connections that were hinted to sync for it

	// Faults of logic or transfer.
	logicFailed     atomic.Uint64 // calls that gave an error
	logicUnanswered atomic.Uint64 // frames without an answer, or with one that is none
	logoutsDropped  atomic.Uint64 // ended connections of which logic was not told
	badPush         atomic.Uint64 // pushes, or frames of them, that cannot be read
	panics          atomic.Uint64 // that ended a call or a session

	closed      [len(closeReasons)]atomic.Uint64
	closedOther atomic.Uint64 // with a code that is not in the list
}

// cacheLine keeps its neighbours on different lines of the processor's cache.
type cacheLine [64]byte

// said bounds how often each thing that peers cause is logged.
type said struct {
	panics, logic, answers, pushes operate.Seldom

	accept, proxy operate.Seldom
	begun         operate.Seldom
	refused       [refusals]operate.Seldom
}

// panicked counts and logs a bug that concerns one call, batch or session alone.
func (g *Gateway) panicked(where string, cause any) {
	g.counters.panics.Add(1)
	if g.said.panics.Now() {
		g.log.Error("gateway: a panic was survived", "where", where, "panic", cause, "stack", string(debug.Stack()))
	}
}

// closeReasons are the codes with which the gateway or logic closes a
// connection. Code 0 stands for the peer: it closed, or its network did.
var closeReasons = [...]protocol.Code{
	0,
	protocol.CodeBusy,
	protocol.CodeDraining,
	protocol.CodeLoginTimeout,
	protocol.CodeHeartbeatTimeout,
	protocol.CodeNotReading,
	protocol.CodeWriteTimeout,
	protocol.CodeTooManyConnections,
	protocol.CodeAddressLimited,
	protocol.CodeInternal,
	protocol.CodeLoginUnavailable,
	protocol.CodeOverLimits,
	protocol.CodeTooManySessions,
	protocol.CodeBadFrame,
	protocol.CodeFrameTooLarge,
	protocol.CodeHelloExpected,
	protocol.CodeBadVersion,
	protocol.CodeBadToken,
	protocol.CodeTokenExpired,
	protocol.CodeReplaced,
	protocol.CodeBadDevice,
	protocol.CodeBadProxy,
}

func (c *counters) close(code protocol.Code) {
	for i, r := range closeReasons {
		if r == code {
			c.closed[i].Add(1)
			return
		}
	}
	c.closedOther.Add(1) // logic may be newer than this gateway
}

// Stats gives every counter of the gateway by name:
//
//   - "close.peer" and "close.<code>": connections that ended;
//   - "connect.<reason>": connections that were not let in;
//   - "push.<reason>": pushes that did not go out;
//   - "refused.<reason>": requests that did not reach logic;
//   - "drop.<what>": frames and logins that waited when their connection ended ("drop.frames",
//     "drop.queries", "drop.logins"), connections closed over a frame that began too long ago
//     ("drop.begun"), bans of addresses and users that ended early because there were too many
//     ("drop.bans"), and connections refused before TLS that could not read why, because there
//     were too many ("drop.goodbyes");
//   - "acks.<what>": PUSHACK and READ frames that waited;
//   - "bind.<what>": connections that were bound in the directory again;
//   - "logic.<reason>" and "hostile.<what>": faults of other roles;
//   - totals.
//
// All counters rise from the start of the process, except those that give a number of now:
// "connections" with a session; "places.taken" and "places.before_login", TLS handshakes
// included; "blocked" connections and the "blocked_bytes" that wait for them; "begun_bytes" of
// frames that are not whole; and "leaving", connections that were refused before TLS and may
// still read why.
func (g *Gateway) Stats() map[string]uint64 {
	c := &g.counters
	taken, fresh := g.places.numbers()
	stats := map[string]uint64{
		"connections":       uint64(g.sessions.len()),
		"accepted":          c.accepted.Load(),
		"reads":             c.reads.Load(),
		"bytes_in":          c.bytesIn.Load(),
		"frames_in":         c.framesIn.Load(),
		"requests":          c.requests.Load(),
		"batches":           c.batches.Load(),
		"pushes":            c.pushes.Load(),
		"writes":            c.writes.Load(),
		"bytes_out":         c.bytesOut.Load(),
		"failed_handshakes": c.handshakes.Load(),
		"push.absent":       c.pushAbsent.Load(),
		"push.outbox_full":  c.pushOutboxFull.Load(),
		"blocks":            c.blocks.Load(),
		"blocked":           uint64(g.memory.blocked.Load()),
		"blocked_bytes":     uint64(g.memory.used.Load()),
		"resets":            c.resets.Load(),
		"push.blocked":      c.pushBlocked.Load(),
		"push.again":        c.pushAgain.Load(),
		"push.given_up":     c.pushGivenUp.Load(),
		"push.untracked":    c.pushUntracked.Load(),
		"refused.busy":      c.refusedBusy.Load(),
		"refused.too_many":  c.refusedTooMany.Load(),
		"refused.bad_type":  c.refusedType.Load(),
		"refused.window":    c.refusedWindow.Load(),
		"drop.frames":       c.droppedFrames.Load(),
		"drop.queries":      c.droppedQueries.Load(),
		"drop.logins":       c.droppedLogins.Load(),
		"login.calls":       c.loginCalls.Load(),
		"drop.begun":        c.begunDropped.Load(),
		"drop.bans":         g.places.dropped.Load() + c.droppedOffenders.Load(),
		"drop.goodbyes":     g.leaving.dropped.Load(),
		"leaving":           uint64(g.leaving.now.Load()),
		"begun_bytes":       uint64(g.begun.used.Load()),

		"refused.user_rate":  c.refusedUserRate.Load(),
		"refused.frame_rate": c.refusedFrameRate.Load(),
		"refused.held":       c.refusedHeld.Load(),
		"acks.postponed":     c.acksPostponed.Load(),
		"acks.merged":        c.acksMerged.Load(),
		"acks.forced":        c.acksForced.Load(),
		"acks.lost":          c.acksLost.Load(),

		"epochs":      c.epochs.Load(),
		"bind.again":  c.bound.Load(),
		"bind.failed": c.bindFailed.Load(),
		"bind.lost":   c.bindLost.Load(),
		"bind.hinted": c.hinted.Load(),

		"logic.failed":     c.logicFailed.Load(),
		"logic.unanswered": c.logicUnanswered.Load(),
		"logic.logouts":    c.logoutsDropped.Load(),
		"hostile.push":     c.badPush.Load(),
		"panics":           c.panics.Load(),

		"places.taken":        uint64(taken),
		"places.before_login": uint64(fresh),
		"connect.failed":      c.acceptFailed.Load(),
	}
	for r := admitted + 1; r < refusals; r++ {
		stats["connect."+refusalNames[r]] = c.refused[r].Load()
	}
	stats["close.other"] = c.closedOther.Load()
	for i, code := range closeReasons {
		stats["close."+reasonName(code)] = c.closed[i].Load()
	}
	return stats
}

// reasonName names what ended a connection: a code, or the peer.
func reasonName(code protocol.Code) string {
	if code == 0 {
		return "peer"
	}
	return code.String()
}
