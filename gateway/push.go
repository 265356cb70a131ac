package gateway

import (
	"context"
	"slices"
	"sync"

	"gannet/internal/hop"
	"gannet/protocol"
)

// Push puts each frame into the outboxes of its connections. It returns the connections that are
// gone, once for each frame. It never waits: a frame that does not fit becomes a hint. Frames for
// one connection go out in the order of the calls, except that system messages go first. Frames
// that are not pushes are counted and left out. With the context of a Forward of this gateway the
// frames are written when its batch ends, otherwise at once. transfer calls it. It is safe for
// concurrent use.
func (g *Gateway) Push(ctx context.Context, push *hop.Push) (absent []uint64) {
	defer func() { // sessions survive their own bugs; no other bug may reach transfer
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
	if push.Everything { // deferred to come after the frames: a writer may already write to a session
		defer func() { *touched = g.hintAll(*touched) }()
	}
	now := g.wheel.now()
	g.sessions.mu.RLock()
	defer g.sessions.mu.RUnlock()
	pushed := uint64(0)
	for i := 0; i < push.Len(); {
		r, ok := runAt(push, i)
		if i += max(r.frames, 1); !ok {
			g.badPush("not one frame that a server pushes")
			continue
		}
		for _, conn := range r.to {
			s := g.sessions.byID[conn]
			if s == nil || s.phase.Load() != phaseOnline {
				absent = append(absent, slices.Repeat([]uint64{conn}, r.frames)...)
				g.counters.pushAbsent.Add(uint64(r.frames))
				continue
			}
			pushed += uint64(r.frames)
			if s.push(&r, now) {
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
	if !g.within(ctx) { // asked after add, so that the batch or this call wakes the writers
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

// hintAll leaves a hint for every connection that anything may have changed. It appends the
// sessions that must be added to their writers' lists.
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
	tracked bool             // a PUSH: it waits for a PUSHACK, and can become a hint
	patient bool             // a RECEIPT: it waits for a while for another write
}

// target gives the conversation of a PUSH as the user who is pushed to addresses it.
func (h *pushHead) target(user uint64) protocol.Target {
	return h.message.Conversation().Target(user)
}

// urgent says whether it overtakes other pushes.
func (h *pushHead) urgent() bool {
	kind := h.message.Target.Kind
	return h.tracked && (kind == protocol.KindSystem || kind == protocol.KindBroadcast)
}

// peek reads the head of an encoded push. ok is false if the bytes are not exactly one frame of a
// push type.
func peek(frame []byte) (h pushHead, ok bool) {
	f, n, err := protocol.Split(frame, protocol.MaxFrame)
	if err != nil || n == 0 || n != len(frame) || !f.Type.IsPush() {
		return h, false
	}
	h.tracked, h.patient = f.Type == protocol.TypePush, f.Type == protocol.TypeReceipt
	return h, !h.tracked || h.message.Decode(f.Payload) == nil
}

// pushRun is one frame of a push, or several that can be handled together: PUSHes of one
// conversation that lie one after the other and have the same receivers. They come up when
// somebody writes several messages in a row.
type pushRun struct {
	bytes  []byte
	frames int
	head   pushHead // of the last one
	first  uint64   // seq of the first one
	to     []uint64
}

// runAt gives the run that begins with frame i. ok is false if that frame is not a push.
func runAt(push *hop.Push, i int) (r pushRun, ok bool) {
	r.to = push.To(i)
	if r.head, ok = peek(push.Bytes(i)); !ok {
		return r, false
	}
	r.first, r.frames = r.head.message.Seq, 1
	from := push.Frames[i].Start
	for r.head.tracked && i+1 < push.Len() && push.Frames[i+1].Start == push.Frames[i].End && slices.Equal(push.To(i+1), r.to) {
		next, ok := peek(push.Bytes(i + 1))
		if !ok || !next.tracked || next.message.Conversation() != r.head.message.Conversation() || next.message.Seq <= r.head.message.Seq {
			break
		}
		r.head = next
		r.frames++
		i++
	}
	r.bytes = push.Blob[from:push.Frames[i].End:push.Frames[i].End]
	return r, true
}

// push puts a run into the outbox, or leaves a hint for frames that do not fit. If it returns
// true, the caller must add the session to its writer's list.
func (s *session) push(r *pushRun, now int64) (list bool) {
	defer s.survive("push")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase.Load() != phaseOnline {
		return false
	}
	defer s.charge()
	o := &s.outbox
	h := &r.head
	t := h.target(s.user)
	switch {
	case h.tracked && o.hinted(t):
		s.hintFor(h, r.frames)
	case o.push(r.bytes, h.urgent(), s.keeps()):
		if h.tracked {
			s.track(t, r.first, now)
			s.track(t, h.message.Seq, now)
			s.gateway.wheel.schedule(s, now+pushAckTicks)
		}
	case r.frames == 1:
		s.hintFor(h, 1)
	default:
		s.pushSome(r, t, now)
	}
	if h.patient && !o.blocked {
		s.gateway.wheel.schedule(s, now+receiptTicks)
		return false
	}
	return s.list()
}

// pushSome handles a run that does not fit as a whole: the frames at its beginning may fit.
func (s *session) pushSome(r *pushRun, t protocol.Target, now int64) {
	for b, left := r.bytes, r.frames; left > 0; left-- {
		end := frameEnd(b, 1)
		h, _ := peek(b[:end])
		if !s.outbox.push(b[:end:end], h.urgent(), s.keeps()) {
			s.hintFor(&r.head, left)
			return
		}
		s.track(t, h.message.Seq, now)
		s.gateway.wheel.schedule(s, now+pushAckTicks)
		b = b[end:]
	}
}

// hintFor leaves a hint in place of pushes; h is the head of the last one. The caller holds mu.
func (s *session) hintFor(h *pushHead, frames int) {
	if s.outbox.blocked {
		s.gateway.counters.pushBlocked.Add(uint64(frames))
	} else {
		s.gateway.counters.pushOutboxFull.Add(uint64(frames))
	}
	s.outbox.hintFor(h, s.user)
}
