package gateway

import (
	"sync"
	"time"

	"gannet/protocol"
)

// Everything for a client goes into the outbox of its session, and the session goes on the list
// of its writer, unless it is there already. Only list and writers.add do that.

// list says whether the caller has to add the session to its writer's list; mu is
// held. A blocked socket is left alone until it takes bytes again (writable).
func (s *session) list() bool {
	if s.listed || s.outbox.blocked || s.outbox.empty() {
		return false
	}
	s.listed = true
	return true
}

// reply puts encoded frames that answer the client into the outbox and has them
// written.
func (s *session) reply(b []byte) { s.write(s.put(b)) }

// write has the outbox written; list is the result of list. It always wakes the writers: a
// session that a lane has listed would otherwise wait until the lane's batch ends.
func (s *session) write(list bool) {
	if list {
		s.gateway.writers.add(s)
	}
	s.gateway.writers.wake()
}

// put is reply without waking the writer. If it returns true, the caller must add the session to
// its writer's list.
func (s *session) put(b []byte) (list bool) {
	list, fits := s.keep(b)
	if !fits {
		s.close(protocol.CodeNotReading)
	}
	return list
}

func (s *session) keep(b []byte) (list, fits bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.charge()
	if s.phase.Load() == phaseClosing {
		return false, true
	}
	most := answerBytes
	if s.outbox.blocked && s.gateway.memory.exceeded() {
		most = pressedAnswerBytes
	}
	if !s.outbox.answer(b, most) {
		return false, false
	}
	return s.list(), true
}

// reserveLocked reserves room in the outbox for an answer of at most n bytes. Reserve before
// asking logic for a page, so that its answer always fits; settle ends the reservation. It never
// waits.
//
// If it returns false, there is no room until the client has read. When there may be room,
// queries.roomy is called once, without any lock held. roomy takes mu, which the caller of
// reserveLocked holds; the caller must keep it until it has noted the waiting query, so that
// roomy does not come too early.
func (s *session) reserveLocked(n int) bool {
	if !s.fits(n) {
		s.wanted = n
		return false
	}
	s.reserved += n
	return true
}

// fits says whether an answer to a query may have n bytes. It always may if no other answer waits
// or is under way and the socket is not blocked. More answers fit only while the budget of all
// outboxes is not used up. The caller holds mu.
func (s *session) fits(n int) bool {
	used := s.reserved + s.outbox.paged
	if used == 0 && !s.outbox.blocked || s.phase.Load() == phaseClosing {
		return true
	}
	return used+n <= pageBytes && !s.gateway.memory.exceeded()
}

// settle puts an answer into the n bytes that were reserved for it and frees the rest of them.
func (s *session) settle(n int, answer []byte) {
	list, roomy := s.settled(n, answer)
	s.write(list)
	if roomy {
		s.gateway.queries.roomy(s)
	}
}

func (s *session) settled(n int, answer []byte) (list, roomy bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.charge()
	s.reserved -= n
	if s.phase.Load() != phaseClosing && len(answer) > 0 {
		s.outbox.page(answer)
		list = s.list()
	}
	return list, s.hasRoom()
}

// hasRoom says whether queries.roomy is to be called: a reservation was refused, and
// the next one may not be. mu is held.
func (s *session) hasRoom() bool {
	if s.wanted == 0 || !s.fits(s.wanted) {
		return false
	}
	s.wanted = 0
	return true
}

// fail answers a request with an ERROR.
func (s *session) fail(request uint32, code protocol.Code) {
	s.reply(failure(request, code, busyRetry))
}

// failure encodes an ERROR; retry counts for codes with which the same may be tried
// again.
func failure(request uint32, code protocol.Code, retry time.Duration) []byte {
	f := protocol.Failure{Code: code, Text: []byte(code.Meaning())}
	if code.Action() == protocol.ActionRetry {
		f.RetryAfter = uint32(retry.Milliseconds())
	}
	return f.AppendError(nil, request)
}

// flush writes the outbox, through scratch, as far as the socket takes it. Only the writer calls
// it.
func (s *session) flush(scratch []byte) {
	defer s.survive("flush")
	s.drain(scratch)
	if s.roomy() {
		s.gateway.queries.roomy(s)
	}
}

func (s *session) roomy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hasRoom()
}

func (s *session) drain(scratch []byte) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.released || s.broken {
		return
	}
	g := s.gateway
	for {
		t, closing := s.take(scratch[:0])
		if len(t.bytes) == 0 {
			if closing {
				s.transport.shutdown()
			}
			return
		}
		n, err := s.transport.write(t.bytes)
		g.counters.writes.Add(1)
		g.counters.bytesOut.Add(uint64(n))
		if err != nil {
			s.transport.shutdown()
			return
		}
		if n < len(t.bytes) {
			now := g.wheel.now()
			next := s.block(&t, n, now)
			if s.transport.await(s) != nil {
				next = s.tryNext(now)
			}
			g.wheel.schedule(s, next)
			return
		}
		if s.drained(&t) && !closing {
			return
		}
	}
}

// take copies what goes out next into scratch. It ends the listing: frames that come later list
// the session again, unless it is blocked. For a blocked socket that is only tested, it takes few
// bytes. If the socket has been blocked for long, it moves the outbox into memory of its own. It
// does so here because only the writer may move what it is about to write.
func (s *session) take(scratch []byte) (t taking, closing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.charge()
	s.listed = false
	o := &s.outbox
	if b := s.blockage; b != nil {
		if b.probing {
			b.probing, scratch = false, scratch[:0:probeBytes]
		}
		if !o.owned && s.gateway.wheel.now() >= b.ownAt {
			most := blockedBytes
			if s.gateway.memory.exceeded() {
				most = 0
			}
			s.gateway.counters.pushBlocked.Add(uint64(o.own(s.user, most)))
		}
	}
	if t = o.take(scratch); len(t.bytes) == 0 {
		o.unblock()
	}
	return t, s.phase.Load() == phaseClosing
}

// drained notes a complete write. It returns true if nothing more waits; then the socket is not
// blocked any more.
func (s *session) drained(t *taking) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.charge()
	s.outbox.taken(t, len(t.bytes))
	if !s.outbox.empty() {
		if b := s.blockage; b != nil {
			b.stuck = s.gateway.wheel.now()
		}
		return false
	}
	s.outbox.unblock()
	return true
}

// block notes that the socket took only n bytes. The session waits until the socket takes more
// (await) or has taken nothing for too long (due). block returns the tick at which due must look.
func (s *session) block(t *taking, n int, now int64) (next int64) {
	g := s.gateway
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.charge()
	s.outbox.taken(t, n)
	if n > 0 && s.blockage != nil {
		s.blockage.stuck = now
	}
	if s.blockage == nil {
		g.counters.blocks.Add(1)
		g.memory.begin(s, now)
	}
	b := s.blockage
	if b.tryAt = now + probeTicks; !s.outbox.owned {
		b.tryAt = max(b.ownAt, now+1)
	}
	if s.phase.Load() == phaseClosing {
		return s.goodbye
	}
	return b.tryAt
}

// tryNext makes the wheel try a blocked socket at the next tick, which it returns. It is for
// transports that cannot report when they take bytes.
func (s *session) tryNext(now int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.blockage != nil {
		s.blockage.tryAt = now + 1
	}
	return now + 1
}

// keeps says how many bytes of pushes may wait for the socket. mu is held.
func (s *session) keeps() int {
	switch {
	case !s.outbox.blocked:
		return outboxBytes
	case s.gateway.memory.exceeded():
		return 0
	case s.outbox.owned:
		return blockedBytes
	}
	return outboxBytes
}

// writable is called when a blocked socket takes bytes again. It says whether the caller must add
// the session to its writer's list.
func (s *session) writable() (list bool) {
	defer s.survive("writable")
	s.mu.Lock()
	defer s.mu.Unlock()
	list = s.outbox.blocked && !s.listed
	s.listed = s.listed || list
	return list
}

// scratchBytes is how much one write call carries at most.
const scratchBytes = 64 << 10

// writers write to the sockets; each writer has a share of the sessions. While one works through
// its list, frames for a connection gather in its outbox. So one write carries acks, pushes and
// receipts together.
type writers []*writer

// writer is one of them. It has a goroutine of its own.
type writer struct {
	awake chan struct{} // holds one token while waiting may not be empty

	mu      sync.Mutex
	waiting []*session
}

func newWriters(n int) writers {
	list := make(writers, n)
	for i := range list {
		list[i] = &writer{awake: make(chan struct{}, 1)}
	}
	return list
}

// add puts sessions, for which list was true, on the lists of their writers. They
// are written to when wake is called next, by anybody.
func (list writers) add(sessions ...*session) {
	if len(list) == 1 {
		list[0].add(sessions)
		return
	}
	for i, s := range sessions {
		list[s.id%uint64(len(list))].add(sessions[i : i+1])
	}
}

func (w *writer) add(sessions []*session) {
	w.mu.Lock()
	w.waiting = append(w.waiting, sessions...)
	w.mu.Unlock()
}

// wake has the writers write to everything that was added.
func (list writers) wake() {
	for _, w := range list {
		select {
		case w.awake <- struct{}{}:
		default:
		}
	}
}

// take gives the list of waiting sessions and puts the empty one in its place.
func (w *writer) take(empty []*session) []*session {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.waiting
	w.waiting = empty
	return list
}

func (w *writer) run(stop <-chan struct{}) {
	var list []*session
	scratch := make([]byte, 0, scratchBytes)
	for {
		select {
		case <-stop:
			return
		case <-w.awake:
		}
		// Sessions that are added from here on wait for the next wake, so that the pushes of a
		// batch are not written before the batch ends.
		list = w.take(list[:0])
		for i, s := range list {
			s.flush(scratch)
			list[i] = nil
		}
	}
}
