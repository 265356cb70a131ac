package gateway

import (
	"log/slog"

	"gannet/internal/hop"
	"gannet/protocol"
)

// welcome ends the login; false: the connection closed meanwhile, and the caller
// takes the device out of the directory again.
func (s *session) welcome(w *hop.Welcome, hello *protocol.Hello) bool {
	list, ok := s.enter(w, hello)
	if !ok {
		return false
	}
	s.write(list)
	s.gateway.wheel.schedule(s, s.gateway.wheel.now()+s.silence)
	return true
}

func (s *session) enter(w *hop.Welcome, hello *protocol.Hello) (list, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase.Load() == phaseClosing {
		return false, false
	}
	s.user, s.device, s.platform, s.number = w.User, hello.Device, hello.Platform, w.Number
	s.silence = 2*heartbeatTicks(w.Heartbeat) + 1
	s.entered = true
	s.parts = newParts(s)
	s.outbox.first(w.Frame)
	s.phase.Store(phaseOnline)
	return s.list(), true
}

// binding names the connection as the directory knows it.
func (s *session) binding() hop.Binding {
	return hop.Binding{Identity: s.identity(), Platform: s.platform, Number: s.number}
}

// close says CLOSE with the code and ends the connection once that is written or
// cannot be. The first reason counts.
func (s *session) close(code protocol.Code) {
	s.closeAfter(code, 0)
}

// closeAfter is close with a time, in milliseconds, before which the client should
// not come back.
func (s *session) closeAfter(code protocol.Code, retryAfter uint32) {
	f := protocol.Failure{Code: code, RetryAfter: retryAfter, Text: []byte(code.Meaning())}
	s.write(s.last(code, f.AppendClose(nil)))
}

// last puts the CLOSE behind what waits, unless there is one already; true asks the
// caller to add the session to its writer's list.
func (s *session) last(code protocol.Code, frame []byte) (list bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase.Swap(phaseClosing) == phaseClosing {
		return false
	}
	s.reason = code
	s.outbox.last(frame)
	list = !s.listed // also when the socket is blocked: one more try
	s.listed = true
	return list
}

// hangUp ends the connection without a word.
func (s *session) hangUp() {
	s.writing.Lock()
	defer s.writing.Unlock()
	if !s.released {
		s.transport.shutdown()
	}
}

// ended is called by the transport when the connection is over; from its return
// on the socket may be closed.
func (s *session) ended() {
	s.writing.Lock()
	s.released = true
	s.writing.Unlock()

	s.mu.Lock()
	s.phase.Store(phaseClosing)
	s.outbox.drop()
	s.unacked, s.parked = nil, nil
	reason, entered, user := s.reason, s.entered, s.user
	s.entered = false
	s.mu.Unlock()

	g := s.gateway
	if g.log.Enabled(g.ctx, slog.LevelDebug) {
		g.log.Debug("connection ended", "conn", s.id, "remote", s.transport.remote(), "user", user, "reason", reasonName(reason))
	}
	if entered { // before the session is forgotten, as Stop waits for the last one
		g.logouts.add(s.binding())
	}
	g.wheel.remove(s)
	g.counters.close(reason)
	g.sessions.remove(s)
}

// due does what the wheel woke the session for and says when to wake it next;
// 0: never.
func (s *session) due(now int64) (next int64) {
	defer s.survive("timer")
	switch s.phase.Load() {
	case phaseClosing:
		return 0
	case phaseNew:
		if now-s.opened >= loginTicks {
			s.close(protocol.CodeLoginTimeout)
			return 0
		}
		return s.opened + loginTicks
	case phaseLogin: // how long logic takes is not the client's fault
		return now + loginTicks
	}
	next = s.heard.Load() + s.silence
	if next <= now {
		s.close(protocol.CodeHeartbeatTimeout)
		return 0
	}
	stuck, list, again, redeliver := s.waits(now)
	if stuck {
		s.close(protocol.CodeWriteTimeout)
		return 0
	}
	if list {
		s.write(list)
	}
	for _, r := range redeliver {
		s.gateway.queries.redeliver(s, r)
	}
	if again != 0 {
		next = min(next, again)
	}
	return next
}

// waits says whether the socket has taken nothing for too long, whether the session
// has to be added to its writer's list (a blocked socket, or receipts that waited),
// and what of its pushes is overdue, as overdue does.
func (s *session) waits(now int64) (stuck, list bool, again int64, redeliver []protocol.Range) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stuck = s.outbox.blocked && now-s.stuck >= writeTicks
	list = !s.outbox.empty() && !stuck && !s.listed
	s.listed = s.listed || list
	again, redeliver = s.overdue(now)
	return stuck, list, again, redeliver
}

// survive is deferred where a session works on a goroutine that it shares with
// others: a bug that one session meets ends that session and nothing else. What
// panics has released the session's locks, because every Unlock of them is deferred.
func (s *session) survive(where string) {
	cause := recover()
	if cause == nil {
		return
	}
	s.gateway.panicked(where, cause)
	s.mu.Lock()
	if s.phase.Swap(phaseClosing) != phaseClosing {
		s.reason = protocol.CodeInternal
	}
	s.mu.Unlock()
	s.hangUp() // the outbox cannot be trusted any more, so there is no CLOSE
}
