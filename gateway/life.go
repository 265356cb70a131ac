package gateway

import (
	"log/slog"
	"runtime/debug"

	"gannet/internal/hop"
	"gannet/protocol"
)

// welcome ends the login; false: the connection closed meanwhile, and the caller
// takes the device out of the directory again.
func (s *session) welcome(w *hop.Welcome, hello *protocol.Hello) bool {
	s.mu.Lock()
	if s.phase.Load() == phaseClosing {
		s.mu.Unlock()
		return false
	}
	s.user, s.device, s.platform, s.number = w.User, hello.Device, hello.Platform, w.Number
	s.silence = 2*heartbeatTicks(w.Heartbeat) + 1
	s.entered = true
	s.outbox.first(w.Frame)
	s.phase.Store(phaseOnline)
	list := s.list()
	s.mu.Unlock()
	if list {
		s.gateway.writers.add(s)
		s.gateway.writers.wake()
	}
	s.gateway.wheel.schedule(s, s.gateway.wheel.now()+s.silence)
	return true
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
	s.mu.Lock()
	if s.phase.Swap(phaseClosing) == phaseClosing {
		s.mu.Unlock()
		return
	}
	s.reason = code
	f := protocol.Failure{Code: code, RetryAfter: retryAfter, Text: []byte(code.Meaning())}
	s.outbox.last(f.AppendClose(nil))
	list := !s.listed // also when the socket is blocked: one more try
	s.listed = true
	s.mu.Unlock()
	if list {
		s.gateway.writers.add(s)
		s.gateway.writers.wake()
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
	s.unacked = nil
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
	s.mu.Lock()
	stuck := s.outbox.blocked && now-s.stuck >= writeTicks
	list := !s.outbox.empty() && !stuck && !s.listed // a blocked socket, or receipts that waited
	s.listed = s.listed || list
	again, redeliver := s.overdue(now)
	s.mu.Unlock()
	if stuck {
		s.close(protocol.CodeWriteTimeout)
		return 0
	}
	if list {
		s.gateway.writers.add(s)
		s.gateway.writers.wake()
	}
	for _, r := range redeliver {
		s.gateway.queries.redeliver(s, r)
	}
	if again != 0 {
		next = min(next, again)
	}
	return next
}

// survive is deferred where a session works on a goroutine that it shares with
// others: a bug that one session meets ends that session and nothing else.
func (s *session) survive(where string) {
	cause := recover()
	if cause == nil {
		return
	}
	g := s.gateway
	g.counters.panics.Add(1)
	if g.said.panics.Now() {
		g.log.Error("gateway: a session panicked", "where", where, "panic", cause, "stack", string(debug.Stack()))
	}
	s.phase.Store(phaseClosing)
	if s.writing.TryLock() { // the outbox cannot be trusted any more, so there is no CLOSE
		if !s.released {
			s.transport.shutdown()
		}
		s.writing.Unlock()
	}
}
