package gateway

import (
	"sync"
	"time"

	"gannet/protocol"
)

// Whatever goes out to a client goes into its session's outbox, and the session
// onto the list of its writer, unless it is there already. list and writers.add
// are the only way there.

// list says whether the caller has to add the session to its writer's list; mu is
// held. A blocked socket is tried by the wheel.
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

// write has what waits in the outbox written; list is what list said. The writers
// are woken in any case: a session that a lane has listed would wait for the end
// of its batch otherwise.
func (s *session) write(list bool) {
	if list {
		s.gateway.writers.add(s)
	}
	s.gateway.writers.wake()
}

// put is reply without the writer: true asks the caller to add the session.
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
	if s.phase.Load() == phaseClosing {
		return false, true
	}
	if !s.outbox.reply(b) {
		return false, false
	}
	return s.list(), true
}

// reserve keeps room in the outbox for an answer of at most n bytes: whoever asks
// logic for a page calls it first, so that an answer that was asked for always fits.
// What was reserved ends in settle or release. false: there is no room before the
// client has read, and queries.roomy is called, once and without any lock, when there
// may be. So that it does not come too early, whoever is refused holds the lock that
// roomy takes from before reserve until it has noted who waits. It never waits.
func (s *session) reserve(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reserveLocked(n)
}

// reserveLocked is reserve with mu held.
func (s *session) reserveLocked(n int) bool {
	if s.phase.Load() != phaseClosing && s.outbox.bytes+s.reserved+n > outboxBytes+replyBytes {
		s.wanted = n
		return false
	}
	s.reserved += n
	return true
}

// release gives n reserved bytes back, for which there is no answer.
func (s *session) release(n int) { s.settle(n, nil) }

// settle puts the answer into the n bytes that were reserved for it and gives back
// what is left of them.
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
	s.reserved -= n
	if s.phase.Load() != phaseClosing && len(answer) > 0 {
		s.outbox.add(&s.outbox.replies, answer)
		list = s.list()
	}
	return list, s.hasRoom()
}

// hasRoom says whether queries.roomy is to be called: a reservation was refused, and
// the next one may not be. mu is held.
func (s *session) hasRoom() bool {
	if s.wanted == 0 || s.outbox.bytes+s.reserved+s.wanted > outboxBytes+replyBytes {
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

// flush writes what the outbox holds, as far as the socket takes it, through
// scratch. The writer calls it, nobody else.
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
	if s.released {
		return
	}
	g := s.gateway
	for {
		p, rest, closing := s.take(scratch[:0])
		if len(p) == 0 {
			if closing {
				s.transport.shutdown()
			}
			return
		}
		n, err := s.transport.write(p)
		g.counters.writes.Add(1)
		g.counters.bytesOut.Add(uint64(n))
		if err != nil || n < len(p) && closing {
			s.transport.shutdown()
			return
		}
		if n == len(p) && !closing && (!rest || s.drained()) {
			return
		}
		if n < len(p) {
			s.block(p[n:], n > 0)
			return
		}
	}
}

// take moves what goes out next into scratch. What comes from here on lists the
// session again; rest says that there is more to do for the caller all the same:
// something did not fit into scratch, or the outbox counts as blocked.
func (s *session) take(scratch []byte) (p []byte, rest, closing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listed = false
	p = s.outbox.take(scratch)
	if len(p) == 0 {
		s.outbox.blocked = false
	}
	return p, s.outbox.blocked || !s.outbox.empty(), s.phase.Load() == phaseClosing
}

// drained says that nothing waits after a complete write; the outbox counts as
// not blocked then.
func (s *session) drained() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.outbox.empty() {
		return false
	}
	s.outbox.blocked = false
	return true
}

// block keeps what the socket did not take until the wheel tries again.
func (s *session) block(rest []byte, progress bool) {
	w := &s.gateway.wheel
	s.mu.Lock()
	defer s.mu.Unlock()
	if progress || !s.outbox.blocked {
		s.stuck = w.now()
	}
	s.outbox.untake(rest)
	s.outbox.detach()
	w.schedule(s, w.now()+1)
}

// scratchBytes is how much one write call carries at most.
const scratchBytes = 64 << 10

// writers write to the sockets, each to those of its share of the sessions. While
// one works through its list, everything that arrives for a connection gathers in
// its outbox: one write carries acks, pushes and receipts together.
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

// take swaps the lists.
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
		// What is added from here on waits for the next wake, so that the pushes of a
		// batch are not written while it is under way.
		list = w.take(list[:0])
		for i, s := range list {
			s.flush(scratch)
			list[i] = nil
		}
	}
}
