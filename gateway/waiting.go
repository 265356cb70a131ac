package gateway

import (
	"errors"
	"sync"
	"time"

	"gannet/protocol"
)

// waitingAck is a PUSHACK or READ that waits: for a token, for room in its lane, or
// because logic had no time for it. It is overtaken by what comes after it, which
// changes nothing: cursors only rise.
type waitingAck struct {
	kind    protocol.Type
	request uint32
	protocol.Cursor
	tokens int   // what its frame costs and it has not paid: a long one counts as many
	after  int64 // tick before which it is not tried
}

// frame encodes it.
func (a *waitingAck) frame() []byte {
	if a.kind == protocol.TypeRead {
		return a.AppendRead(nil, a.request)
	}
	return a.AppendPushAck(nil, a.request)
}

// waitingAcks are the acks of a connection that wait, oldest first. The lock is their
// own: whoever sends acks without end must not hold up answers to the same connection,
// which the lane puts into its outbox.
type waitingAcks struct {
	mu    sync.Mutex
	list  []*waitingAck
	joins map[ackKey]*waitingAck // those that others may join; nil: none
	over  bool                   // the connection has ended: nothing waits any more

	failing, failed int64 // tick at which calls with acks of it began to fail, and of the last one
}

// ackKey is what acks must share to be one.
type ackKey struct {
	kind   protocol.Type
	target protocol.Target
}

// delay has an ack wait for a token. One with request 0 joins the one of its
// conversation that waits already: of the two the higher seq says everything. The others
// stay apart, since each is answered. When too many wait the oldest does not any longer.
// Either way its client goes on over its limits.
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

// force has an ack go at once. If there is no room for it either, its client hears so.
func (s *session) force(a *waitingAck) {
	g := s.gateway
	if s.carryAck(a) {
		g.counters.acksForced.Add(1)
		return
	}
	g.counters.refusedBusy.Add(1)
	s.reply(failure(a.request, protocol.CodeBusy, s.busyFor(g.wheel.now())))
}

// awaitRoom has an ack wait for which its lane has no room; false: it is none, or too
// many wait.
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

// postpone has an ack wait through no fault of its client's; false: too many wait. The
// poller and the lanes call it.
func (s *session) postpone(a *waitingAck) bool {
	g := s.gateway
	merged, kept := s.waiting.add(a)
	switch {
	case merged:
		g.counters.acksMerged.Add(1)
	case kept:
		g.counters.acksPostponed.Add(1)
		g.wheel.schedule(s, max(a.after, g.wheel.now()+1))
	}
	return merged || kept
}

// again has an ack that logic had no time for tried again later, if nobody waits for its
// answer: its client would take it for done.
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

// afterFailure has an ack tried again whose batch logic failed, if nobody waits for its
// answer; one that is not tried again is counted, and its client hears so. What was in a batch that made logic panic may be
// what it panicked over, and would fail everybody in the next one too.
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

// another says whether acks of a call that failed are tried again: not once their calls
// have failed for failingTicks, since what does not end may be their own fault. After as
// long without a failure it begins anew.
func (w *waitingAcks) another(now int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == 0 || now-w.failed > failingTicks {
		w.failing = now
	}
	w.failed = max(now, 1)
	return now-w.failing < failingTicks
}

// add adds an ack, or joins it to one that waits; neither: too many wait, or the
// connection has ended.
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

// back has an ack wait that waited before, behind the others, since their lanes may have
// room; false: the connection has ended.
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

// end has nothing wait any more that is not there.
func (w *waitingAcks) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
}

// carryWaiting hands the acks that waited to their lanes, as many as a turn allows,
// and says when to come again; 0: none is left. After as many that found no room as there
// are lanes it leaves the others for the next turn.
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

// carryAll hands what waits to its lanes, because the connection is over: whoever
// acks and leaves has acked.
func (s *session) carryAll() {
	s.waiting.end()
	for a := s.waiting.next(); a != nil; a = s.waiting.next() {
		if !s.carryAck(a) {
			s.gateway.counters.acksLost.Add(1)
		}
	}
}
