package gateway

import (
	"slices"
	"sync/atomic"

	"gannet/protocol"
)

// begun is the budget for frames that have begun and are not whole yet, over all connections. A
// client may send the beginning of the longest frame and nothing more; the same holds for a TLS
// record. If the budget is exceeded, the connections whose frames began longest ago are closed.
// So a client that goes on sending its frame, however slowly, comes after all those that were
// abandoned. This budget is separate from memory, so that clients that do not read cost nobody a
// frame, and the other way round.
type begun struct {
	gateway *Gateway
	limit   int64
	used    atomic.Int64  // bytes, also of connections that are being closed
	awake   chan struct{} // holds one token while the budget may be exceeded
	list    []begunFrame  // used by sweep only, to save allocations
}

// begunFrame is a connection with a begun frame.
type begunFrame struct {
	session      *session
	since, bytes int64
}

// begunRoom is the share of the budget (one in begunRoom) that is free after a sweep, so that
// sweeps are rare.
const begunRoom = 8

func newBegun(g *Gateway, limit int64) *begun {
	return &begun{gateway: g, limit: limit, awake: make(chan struct{}, 1)}
}

// chargeBegun sets how many bytes of a begun frame the connection holds. The goroutine that
// brings input calls it whenever that number has changed.
func (s *session) chargeBegun(held int64) {
	b := s.gateway.begun
	more := held - s.begunBytes.Swap(held)
	if b.used.Add(more) <= b.limit || more <= 0 {
		return
	}
	select {
	case b.awake <- struct{}{}:
	default:
	}
}

// run closes connections while the budget is exceeded, and rests in between: looking at
// all of them takes a few milliseconds where they are many.
func (b *begun) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-b.awake:
		}
		b.sweep()
		b.gateway.rest(tick)
	}
}

// sweep closes the connections whose frames were begun longest ago until there is room.
func (b *begun) sweep() {
	list, held := b.gateway.sessions.begun(b.list[:0])
	if held > b.limit {
		slices.SortFunc(list, func(x, y begunFrame) int { return int(x.since - y.since) })
		for i := 0; i < len(list) && held > b.limit-b.limit/begunRoom; i++ {
			list[i].giveUp()
			held -= list[i].bytes
		}
	}
	clear(list)
	b.list = list[:0]
}

// giveUp closes the connection, unless the frame is whole meanwhile.
func (b *begunFrame) giveUp() {
	defer b.session.survive("begun")
	s, g := b.session, b.session.gateway
	if s.begunBytes.Load() == 0 || s.begunAt.Load() != b.since {
		return
	}
	g.counters.begunDropped.Add(1)
	if g.said.begun.Now() {
		g.log.Warn("gateway: frames that were begun and not finished take too much memory, the oldest are given up", "remote", s.transport.remote())
	}
	s.closeSaying(protocol.CodeBusy, begunText, overLimitsDelay())
}

// begunText is the text of the CLOSE to the client.
const begunText = "too many frames are begun and not finished, and this one was among the oldest"

// begun appends the begun frames of all connections but those that are closed
// already, and says how many bytes they hold.
func (t *sessions) begun(dst []begunFrame) (list []begunFrame, held int64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, s := range t.byID {
		n := s.begunBytes.Load()
		if n == 0 || s.phase.Load() == phaseClosing {
			continue
		}
		dst = append(dst, begunFrame{session: s, since: s.begunAt.Load(), bytes: n})
		held += n
	}
	return dst, held
}
