package gateway

import (
	"context"
	"sync"

	"gannet/protocol"
)

// Push puts each frame into the outboxes of its connections and returns those
// that are not here any more. It never waits: where a frame does not fit, a hint
// stands for it. Frames to one connection go out in the order of the calls, but
// system messages before others. For transfer; safe for concurrent use.
func (g *Gateway) Push(_ context.Context, deliveries []protocol.Delivery) (absent []uint64) {
	touched := touchedPool.Get().(*[]*session)
	now := g.wheel.now()
	g.sessions.mu.RLock()
	for i := range deliveries {
		d := &deliveries[i]
		head, ok := peek(d.Frame)
		if !ok {
			continue
		}
		for _, conn := range d.Conns {
			s := g.sessions.byID[conn]
			if s == nil || s.phase.Load() != phaseOnline {
				absent = append(absent, conn)
				g.counters.pushAbsent.Add(1)
				continue
			}
			if s.push(d.Frame, head, now) {
				*touched = append(*touched, s)
			}
		}
	}
	g.sessions.mu.RUnlock()
	g.hold(*touched)
	if !g.local || g.busy.Load() == 0 {
		for _, w := range g.writers {
			w.signal()
		}
	}
	clear(*touched)
	*touched = (*touched)[:0]
	touchedPool.Put(touched)
	return absent
}

var touchedPool = sync.Pool{New: func() any { return new([]*session) }}

// pushHead is what the gateway needs to know of a push.
type pushHead struct {
	message protocol.Message // without its body
	tracked bool             // a PUSH: waits for a PUSHACK, becomes a hint
}

func peek(frame []byte) (h pushHead, ok bool) {
	f, n, err := protocol.Split(frame, protocol.MaxFrame)
	if err != nil || n == 0 {
		return h, false
	}
	if f.Type != protocol.TypePush {
		return h, true
	}
	h.tracked = true
	return h, h.message.Decode(f.Payload) == nil
}

// push puts a frame into the outbox, or remembers a hint for it; true asks the
// caller to hand the session to the writer.
func (s *session) push(frame []byte, h pushHead, now int64) (queue bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase.Load() != phaseOnline {
		return false
	}
	kind := h.message.Target.Kind
	urgent := kind == protocol.KindSystem || kind == protocol.KindBroadcast
	fits := s.outbox.push(frame, urgent)
	s.gateway.counters.pushes.Add(1)
	if !fits {
		s.gateway.counters.pushOutboxFull.Add(1)
	}
	if h.tracked {
		t := h.message.Conversation().Target(s.user)
		if fits {
			s.track(t, h.message.Seq, now)
			s.gateway.wheel.schedule(s, now+pushAckTicks)
		} else {
			s.outbox.hint(t, h.message.Seq)
		}
		return s.enqueue()
	}
	if !fits {
		// A cursor rose, and only SYNC can tell: of a receipt there is no second copy.
		s.outbox.hint(protocol.Target{}, 0)
	}
	// A receipt is not worth a write of its own until it has waited for another.
	s.gateway.wheel.schedule(s, now+receiptTicks)
	return false
}
