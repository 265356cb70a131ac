package gateway

import (
	"errors"
	"sync"
	"time"

	"gannet/protocol"
)

// waitingAck is a PUSHACK or READ that waits: for a token, for room in its lane, or because logic
// had no time for it. Later frames overtake it. That changes nothing, because cursors only rise.
type waitingAck struct {
	kind    protocol.Type
	request uint32
	protocol.Cursor
	tokens int   // tokens that its frame costs and that are not paid yet; a long frame costs several
	after  int64 // tick before which it is not tried
}

// frame encodes it.
func (a *waitingAck) frame() []byte {
	if a.kind == protocol.TypeRead {
		return a.AppendRead(nil, a.request)
	}
	return a.AppendPushAck(nil, a.request)
}

// waitingAcks are the waiting acks of a connection, oldest first. They have a lock of their own,
// so that a client that sends acks without end does not hold up the lane, which puts answers into
// the outbox of the same connection.
type waitingAcks struct {
	mu    sync.Mutex
	list  []*waitingAck
	joins map[ackKey]*waitingAck // those that later acks may join; nil: none
	over  bool                   // the connection has ended, and no more acks may wait

	failing, failed int64 // ticks of the first and the last failure of calls with its acks
}

// ackKey is what acks must have in common to be joined.
type ackKey struct {
	kind   protocol.Type
	target protocol.Target
}

// delay makes an ack wait for a token. An ack with request 0 joins the waiting one of its
// conversation, because the higher seq says everything. Other acks stay separate, because each is
// answered. If too many wait, the oldest goes at once. If an ack joins or too many wait, the
// client is counted as going on over its limits.
func (s *session) delay(a waitingAck, raw []byte) {
	g := s.gateway
	merged, kept := s.waiting.add(&a)
	switch {
	case merged:
		g.counters.acksMerged.Add(1)
		s.defy(raw)
	case kept:
		g.wheel.schedule(s, g.wheel.now()+1)
	default:
		if oldest := s.waiting.next(); oldest != nil {
			s.force(oldest)
		}
		s.waiting.back(&a)
		s.defy(raw)
	}
}

// force sends an ack to its lane at once. If the lane has no room either, it tells the client.
func (s *session) force(a *waitingAck) {
	g := s.gateway
	if s.carryAck(a) {
		g.counters.acksForced.Add(1)
		return
	}
	g.counters.refusedBusy.Add(1)
	s.reply(failure(a.request, protocol.CodeBusy, s.busyFor(g.wheel.now())))
}

// awaitRoom makes an ack wait if its lane has no room. It returns false if the frame is not an
// ack, or too many wait.
func (s *session) awaitRoom(f protocol.Frame) bool {
	if f.Type != protocol.TypePushAck && f.Type != protocol.TypeRead {
		return false
	}
	var cursor protocol.Cursor
	if cursor.Decode(f.Payload) != nil {
		return false
	}
	return s.postpone(&waitingAck{kind: f.Type, request: f.Request, Cursor: cursor})
}

// postpone makes an ack wait through no fault of its client. It returns false if too many wait.
// The poller and the lanes call it.
func (s *session) postpone(a *waitingAck) bool {
	g := s.gateway
	merged, kept := s.waiting.add(a)
	switch {
	case merged:
		g.counters.acksMerged.Add(1)
	case kept:
		g.wheel.schedule(s, max(a.after, g.wheel.now()+1))
		g.counters.acksPostponed.Add(1)
	}
	return merged || kept
}

// again makes an ack wait that logic answered with BUSY, if the client wants no answer. Otherwise
// the client would take the ack for done.
func (l *lane) again(p *part, frame, answer []byte) bool {
	if typeOf(answer) != protocol.TypeError || wantsAnswer(frame) {
		return false
	}
	var m protocol.Failure
	var cursor protocol.Cursor
	f, _, _ := protocol.Split(answer, protocol.MaxFrame)
	if m.Decode(f.Payload) != nil || m.Code != protocol.CodeBusy {
		return false
	}
	f, _, _ = protocol.Split(frame, protocol.MaxFrame)
	if cursor.Decode(f.Payload) != nil {
		return false
	}
	s := p.session
	wait := int64(time.Duration(m.RetryAfter) * time.Millisecond / tick)
	after := s.gateway.wheel.now() + min(max(wait, minBusyTicks), maxBusyTicks)
	if s.postpone(&waitingAck{kind: f.Type, Cursor: cursor, after: after}) {
		return true
	}
	if s.phase.Load() == phaseClosing {
		s.gateway.counters.acksLost.Add(1)
	}
	return false
}

// afterFailure makes an ack wait whose batch logic failed, if the client wants no answer. An ack
// that is not tried again is counted, and the client is told. After a panic of logic nothing is
// tried again: one of these frames may have caused it, and would make the next batch fail too.
func (l *lane) afterFailure(p *part, frame []byte, err error) {
	s := p.session
	defer s.survive("answer")
	now := s.gateway.wheel.now()
	f, _, _ := protocol.Split(frame, protocol.MaxFrame)
	var cursor protocol.Cursor
	if !errors.Is(err, errPanic) && cursor.Decode(f.Payload) == nil && s.waiting.another(now) &&
		s.postpone(&waitingAck{kind: f.Type, Cursor: cursor, after: now + maxBusyTicks}) {
		return
	}
	s.gateway.counters.acksLost.Add(1)
	l.put(s, failure(0, protocol.CodeUnavailable, busyRetry))
}

// another says whether to try acks of a failed call again: only until their calls have failed for
// failingTicks, because acks that fail for so long may themselves be the cause. After as long
// without a failure the time begins anew.
func (w *waitingAcks) another(now int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == 0 || now-w.failed > failingTicks {
		w.failing = now
	}
	w.failed = max(now, 1)
	return now-w.failing < failingTicks
}

// add adds an ack, or joins it to one that waits. If neither, too many wait or the connection has
// ended.
func (w *waitingAcks) add(a *waitingAck) (merged, kept bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.over:
		return false, false
	case w.join(a):
		return true, false
	case len(w.list) >= maxWaitingAcks:
		return false, false
	}
	w.append(a)
	return false, true
}

// join makes an ack part of one that waits, if there is one for it; mu is held.
func (w *waitingAcks) join(a *waitingAck) bool {
	if a.request != 0 {
		return false
	}
	other := w.joins[ackKey{a.kind, a.Target}]
	if other == nil {
		return false
	}
	other.Seq, other.tokens = max(other.Seq, a.Seq), min(other.tokens, a.tokens)
	return true
}

// append adds an ack to the end; mu is held.
func (w *waitingAcks) append(a *waitingAck) {
	w.list = append(w.list, a)
	if a.request == 0 {
		if w.joins == nil {
			w.joins = make(map[ackKey]*waitingAck)
		}
		w.joins[ackKey{a.kind, a.Target}] = a
	}
}

// next takes the oldest out; nil: none waits.
func (w *waitingAcks) next() *waitingAck {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.list) == 0 {
		return nil
	}
	a := w.list[0]
	if w.list = w.list[1:]; len(w.list) == 0 {
		w.list, w.joins = nil, nil
	} else if key := (ackKey{a.kind, a.Target}); w.joins[key] == a {
		delete(w.joins, key)
	}
	return a
}

// back makes an ack wait again, behind the others, since their lanes may have room. It returns
// false if the connection has ended.
func (w *waitingAcks) back(a *waitingAck) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return false
	}
	if !w.join(a) {
		w.append(a)
	}
	return true
}

// end lets no more acks wait. Those that wait already stay.
func (w *waitingAcks) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
}

// carryWaiting puts waiting acks into their lanes, as many as a turn allows. next is when to come
// again; 0: none is left. When as many acks as there are lanes could not go, it leaves the rest
// for the next turn.
func (s *session) carryWaiting(now int64) (next int64) {
	frames, ticks := s.gateway.pace.perTurn()
	for full := 0; frames > 0 && full < len(s.gateway.lanes); {
		a := s.waiting.next()
		switch {
		case a == nil:
			return 0
		case a.after > now || !s.carryAck(a):
			full++
			if !s.waiting.back(a) {
				s.gateway.counters.acksLost.Add(1)
				return 0
			}
			continue
		}
		s.passesLate(now, a.tokens)
		frames -= max(1, a.tokens)
	}
	return now + ticks
}

// carryAck hands an ack that waited to its lane.
func (s *session) carryAck(a *waitingAck) bool {
	if !s.carry(a.Target, a.frame()) {
		return false
	}
	if a.kind == protocol.TypePushAck {
		s.acked(a.Target, a.Seq)
	}
	return true
}

// carryAll puts all waiting acks into their lanes when the connection is over, because the client
// has acked.
func (s *session) carryAll() {
	s.waiting.end()
	for a := s.waiting.next(); a != nil; a = s.waiting.next() {
		if !s.carryAck(a) {
			s.gateway.counters.acksLost.Add(1)
		}
	}
}
