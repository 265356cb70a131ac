package gateway

import (
	"context"
	"sync"

	"gannet/internal/hop"
	"gannet/protocol"
)

// Push puts each frame into the outboxes of its connections and returns those
// that are not here any more. It never waits: where a frame does not fit, a hint
// stands for it. Frames to one connection go out in the order of the calls, but
// system messages before others. What is no push is counted and left out. With the
// context of a Forward of this gateway the frames are written when its batch ends,
// else at once. For transfer; safe for concurrent use.
func (g *Gateway) Push(ctx context.Context, push *hop.Push) (absent []uint64) {
	defer func() { // what one session meets is survived there; transfer is not to pay for the rest
		if cause := recover(); cause != nil {
			g.panicked("push", cause)
		}
	}()
	if err := push.Check(); err != nil {
		g.badPush(err.Error())
		return nil
	}
	touched := touchedPool.Get().(*[]*session)
	defer g.touch(ctx, touched)
	if push.Everything { // behind the frames: a writer may be at a session already
		defer func() { *touched = g.hintAll(*touched) }()
	}
	now := g.wheel.now()
	g.sessions.mu.RLock()
	defer g.sessions.mu.RUnlock()
	pushed := uint64(0)
	for i := range push.Frames {
		frame := push.Bytes(i)
		head, ok := peek(frame)
		if !ok {
			g.badPush("not one frame that a server pushes")
			continue
		}
		for _, conn := range push.To(i) {
			s := g.sessions.byID[conn]
			if s == nil || s.phase.Load() != phaseOnline {
				absent = append(absent, conn)
				g.counters.pushAbsent.Add(1)
				continue
			}
			pushed++
			if s.push(frame, head, now) {
				*touched = append(*touched, s)
			}
		}
	}
	g.counters.pushes.Add(pushed)
	return absent
}

// touch has the sessions written to, and takes their list back.
func (g *Gateway) touch(ctx context.Context, touched *[]*session) {
	g.writers.add(*touched...)
	if !g.within(ctx) { // asked after add, so that one of the two sees them
		g.writers.wake()
	}
	clear(*touched)
	*touched = (*touched)[:0]
	touchedPool.Put(touched)
}

var touchedPool = sync.Pool{New: func() any { return new([]*session) }}

func (g *Gateway) badPush(what string) {
	g.counters.badPush.Add(1)
	if g.said.pushes.Now() {
		g.log.Error("gateway: a push cannot be read", "why", what)
	}
}

// hintAll tells every connection that anything may have changed, and appends those
// that have to be written to.
func (g *Gateway) hintAll(touched []*session) []*session {
	for _, s := range g.sessions.all() {
		if s.hintEverything() {
			touched = append(touched, s)
		}
	}
	return touched
}

func (s *session) hintEverything() (list bool) {
	defer s.survive("push")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase.Load() != phaseOnline {
		return false
	}
	defer s.charge()
	s.outbox.hint(protocol.Target{}, 0)
	return s.list()
}

// pushHead is what the gateway needs to know of a push.
type pushHead struct {
	message protocol.Message // without its body
	tracked bool             // a PUSH: waits for a PUSHACK, becomes a hint
	patient bool             // a RECEIPT: not worth a write of its own until it has waited for another
}

// target gives the conversation of a PUSH as the user who is pushed to addresses it.
func (h *pushHead) target(user uint64) protocol.Target {
	return h.message.Conversation().Target(user)
}

// peek reads the head of an encoded push; ok is false for what is not exactly one
// frame of a type that servers push.
func peek(frame []byte) (h pushHead, ok bool) {
	f, n, err := protocol.Split(frame, protocol.MaxFrame)
	if err != nil || n == 0 || n != len(frame) || !f.Type.IsPush() {
		return h, false
	}
	h.tracked, h.patient = f.Type == protocol.TypePush, f.Type == protocol.TypeReceipt
	return h, !h.tracked || h.message.Decode(f.Payload) == nil
}

// push puts a frame into the outbox, or remembers a hint for it; true asks the
// caller to add the session to its writer's list.
func (s *session) push(frame []byte, h pushHead, now int64) (list bool) {
	defer s.survive("push")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase.Load() != phaseOnline {
		return false
	}
	defer s.charge()
	o := &s.outbox
	most := s.keeps()
	t := h.target(s.user)
	urgent := h.tracked && (t.Kind == protocol.KindSystem || t.Kind == protocol.KindBroadcast)
	switch {
	case h.tracked && o.hinted(t) || !o.push(frame, urgent, most):
		if o.blocked {
			s.gateway.counters.pushBlocked.Add(1)
		} else {
			s.gateway.counters.pushOutboxFull.Add(1)
		}
		o.hintFor(&h, s.user)
	case h.tracked:
		s.track(t, h.message.Seq, now)
		s.gateway.wheel.schedule(s, now+pushAckTicks)
	}
	if h.patient && !o.blocked {
		s.gateway.wheel.schedule(s, now+receiptTicks)
		return false
	}
	return s.list()
}
