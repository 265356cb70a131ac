package gateway

import (
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
