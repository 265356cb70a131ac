package gateway

import (
	"sync/atomic"

	"gannet/protocol"
)

// counters counts, by name, why connections ended and pushes did not go out,
// and what went through.
type counters struct {
	accepted atomic.Uint64
	reads    atomic.Uint64 // times that a socket brought something
	bytesIn  atomic.Uint64
	framesIn atomic.Uint64
	requests atomic.Uint64 // frames handed to logic
	batches  atomic.Uint64 // in which they went
	pushes   atomic.Uint64 // pushes put into an outbox
	writes   atomic.Uint64 // write calls
	bytesOut atomic.Uint64

	handshakes atomic.Uint64 // TLS handshakes that failed

	// Why a push did not go out, or not yet.
	pushAbsent     atomic.Uint64 // the connection is gone
	pushOutboxFull atomic.Uint64 // became a hint
	pushAgain      atomic.Uint64 // no PUSHACK in time: asked logic to push again
	pushGivenUp    atomic.Uint64 // no PUSHACK after the last push: waits in the store
	pushUntracked  atomic.Uint64 // too many conversations unacked: the oldest got a hint

	// Why a request did not go to logic.
	refusedBusy    atomic.Uint64
	refusedTooMany atomic.Uint64
	refusedType    atomic.Uint64

	closed [len(closeReasons)]atomic.Uint64
}

// closeReasons are the codes with which the gateway or logic closes a
// connection. Code 0 stands for the peer: it closed, or its network did.
var closeReasons = [...]protocol.Code{
	0,
	protocol.CodeDraining,
	protocol.CodeLoginTimeout,
	protocol.CodeHeartbeatTimeout,
	protocol.CodeNotReading,
	protocol.CodeWriteTimeout,
	protocol.CodeTooManyConnections,
	protocol.CodeInternal,
	protocol.CodeLoginUnavailable,
	protocol.CodeBadFrame,
	protocol.CodeFrameTooLarge,
	protocol.CodeHelloExpected,
	protocol.CodeBadVersion,
	protocol.CodeBadToken,
	protocol.CodeTokenExpired,
	protocol.CodeReplaced,
	protocol.CodeBadDevice,
}

func (c *counters) close(code protocol.Code) {
	for i, r := range closeReasons {
		if r == code {
			c.closed[i].Add(1)
			return
		}
	}
	panic("gateway: close reason without a counter: " + code.String())
}

// Stats gives every counter of the gateway by name: "close.peer" and
// "close.<code>" for connections that ended, "push.<reason>" for pushes that
// did not go out, "refused.<reason>" for requests that did not reach logic, and
// totals. They rise from the start of the process, but for "connections", which
// is how many there are.
func (g *Gateway) Stats() map[string]uint64 {
	c := &g.counters
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
		"push.again":        c.pushAgain.Load(),
		"push.given_up":     c.pushGivenUp.Load(),
		"push.untracked":    c.pushUntracked.Load(),
		"refused.busy":      c.refusedBusy.Load(),
		"refused.too_many":  c.refusedTooMany.Load(),
		"refused.bad_type":  c.refusedType.Load(),
	}
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
