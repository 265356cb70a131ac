package gateway

import (
	"log/slog"
	"math"
	"time"

	"gannet/internal/hop"
	"gannet/protocol"
)

// welcome ends the login. It returns false if the connection closed meanwhile; then the caller
// takes the device out of the directory again.
func (s *session) welcome(w *hop.Welcome, login *hop.Login) bool {
	list, ok := s.enter(w, login)
	if !ok {
		return false
	}
	s.gateway.places.loggedIn(s.place)
	first := s.silence
	if s.expires != 0 {
		first = min(first, s.expiresIn())
	}
	s.gateway.wheel.schedule(s, s.gateway.wheel.now()+first)
	s.write(list)
	return true
}

func (s *session) enter(w *hop.Welcome, login *hop.Login) (list, ok bool) {
	hello := &login.Hello
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase.Load() == phaseClosing {
		return false, false
	}
	s.user, s.device, s.platform, s.number = w.User, hello.Device, hello.Platform, w.Number
	s.silence = 2*heartbeatTicks(w.Heartbeat) + 1
	s.expires = w.Expires
	s.entered, s.epoch = true, login.Gateway
	s.parts = newParts(s)
	s.outbox.first(w.Frame)
	s.phase.Store(phaseOnline)
	return s.list(), true
}

// binding names the connection as the directory knows it. mu is held.
func (s *session) binding() hop.Binding {
	b := hop.Binding{Identity: s.identity(), Platform: s.platform, Number: s.number}
	b.Gateway = s.epoch
	return b
}

// close sends CLOSE with the code, and ends the connection when that is written or cannot be
// written. Only the first call counts.
func (s *session) close(code protocol.Code) {
	s.closeAfter(code, 0)
}

// closeAfter is close with a time, in milliseconds, before which the client should
// not come back.
func (s *session) closeAfter(code protocol.Code, retryAfter uint32) {
	s.closeSaying(code, code.Meaning(), retryAfter)
}

// closeSaying is closeAfter with a text of its own.
func (s *session) closeSaying(code protocol.Code, text string, retryAfter uint32) {
	f := protocol.Failure{Code: code, RetryAfter: retryAfter, Text: []byte(text)}
	s.write(s.last(code, f.AppendClose(nil)))
}

// last puts CLOSE behind everything that waits, unless a CLOSE is there already. If it returns
// true, the caller must add the session to its writer's list. If a blocked socket does not take
// all of this within goodbyeTimeout, the connection is reset. So a frame that was cut is never
// followed by a clean end.
func (s *session) last(code protocol.Code, frame []byte) (list bool) {
	w := &s.gateway.wheel
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.charge()
	if s.phase.Swap(phaseClosing) == phaseClosing {
		return false
	}
	s.reason = code
	s.outbox.last(frame)
	s.goodbye = w.now() + goodbyeTicks
	if s.outbox.blocked {
		w.schedule(s, s.goodbye)
	}
	list = !s.listed // also when the socket is blocked: one more try
	s.listed = true
	return list
}

// hangUp ends the connection without a CLOSE. If a frame was written only in part, it resets the
// connection, so that the peer notices.
func (s *session) hangUp() {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.released {
		return
	}
	s.mu.Lock()
	cut := len(s.outbox.rest) > 0
	s.mu.Unlock()
	if cut {
		s.reset()
		return
	}
	s.transport.shutdown()
}

// breakOff resets the connection.
func (s *session) breakOff() {
	s.writing.Lock()
	defer s.writing.Unlock()
	if !s.released {
		s.reset()
	}
}

// reset is breakOff for callers that hold writing.
func (s *session) reset() {
	s.broken = true
	s.gateway.counters.resets.Add(1)
	s.transport.reset()
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
	s.charge()
	s.unacked, s.parked = nil, nil
	reason, entered, user, binding := s.reason, s.entered, s.user, s.binding()
	s.entered = false
	s.mu.Unlock()

	s.carryAll()
	s.partial = nil
	s.chargeBegun(0)
	g := s.gateway
	if g.log.Enabled(g.ctx, slog.LevelDebug) {
		g.log.Debug("connection ended", "conn", s.id, "remote", s.transport.remote(), "user", user, "reason", reasonName(reason))
	}
	if entered { // before forget, because Stop waits only for sessions that are not forgotten
		g.logouts.add(binding)
	}
	g.counters.close(reason)
	if user == 0 && reason.Action() == protocol.ActionStop { // the same HELLO would fail again
		g.places.failed(s.place)
	}
	s.forget()
}

// end is ended for transports, on a goroutine that other sessions need too. A panic in ended
// harms nobody else, and the session is forgotten even then.
func (s *session) end() {
	defer func() {
		if cause := recover(); cause != nil {
			s.gateway.panicked("end", cause)
			s.forget()
		}
	}()
	s.ended()
}

// forget takes the session out of all that the gateway knows. Stop waits for the last
// one.
func (s *session) forget() {
	g := s.gateway
	g.wheel.remove(s)
	g.places.leave(s.place)
	g.sessions.remove(s)
}

// giveWay ends a connection that has said nothing, because somebody else wants to log
// in.
func (s *session) giveWay() { s.turnAway(gaveWay, 0) }

// due does what the wheel woke the session for and says when to wake it next;
// 0: never.
func (s *session) due(now int64) (next int64) {
	defer s.survive("timer")
	switch s.phase.Load() {
	case phaseClosing:
		next, cut := s.farewell(now)
		if cut {
			s.breakOff()
		}
		return next
	case phaseNew:
		if now-s.opened >= loginTicks {
			s.close(protocol.CodeLoginTimeout)
			return 0
		}
		return s.opened + loginTicks
	case phaseLogin: // the client is not to blame for how long logic takes
		return now + loginTicks
	}
	left := int64(math.MaxInt64) - now
	if s.expires != 0 {
		if left = s.expiresIn(); left == 0 {
			s.close(protocol.CodeTokenExpired)
			return 0
		}
	}
	next = s.heard.Load() + s.silence
	if next <= now {
		s.close(protocol.CodeHeartbeatTimeout)
		return 0
	}
	next = min(next, now+left)
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
	if acks := s.carryWaiting(now); acks != 0 {
		next = min(next, acks)
	}
	return next
}

// farewell returns when to look again at a connection that is to end; 0: never. cut says that it
// has not taken its CLOSE in time.
func (s *session) farewell(now int64) (next int64, cut bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.outbox.blocked: // the writer ends it
		return 0, false
	case now < s.goodbye:
		return s.goodbye, false
	}
	return 0, true
}

// expiresIn gives the ticks until the token ends; 0: it has ended. Any value of logic is taken as
// a time: one in the past ends the connection, one that is never reached does not. It reads the
// wall clock each time. If the clock jumps ahead, connections end too early, but only at the next
// look, within two heartbeat intervals. If it is set back, they live longer.
func (s *session) expiresIn() int64 {
	now := max(0, s.gateway.clock().Unix())
	if s.expires <= now {
		return 0
	}
	return min(s.expires-now, maxExpiry) * int64(time.Second/tick)
}

// waits gives what the session waits for: whether the socket has taken nothing for too long;
// whether the caller must add the session to its writer's list (to try a blocked socket, or to
// send receipts that waited); and, as overdue does, when to look again and what must be pushed
// again.
func (s *session) waits(now int64) (stuck, list bool, next int64, redeliver []protocol.Range) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.charge()
	next, redeliver = s.overdue(now)
	b := s.blockage
	if b == nil {
		list = s.list()
		return false, list, next, redeliver
	}
	patience := writeTicks
	if s.gateway.memory.exceeded() {
		patience = pressedTicks
	}
	if now-b.stuck >= patience {
		return true, false, 0, nil
	}
	if now >= b.tryAt {
		list = !s.listed
		s.listed, b.probing, b.tryAt = true, true, now+probeTicks
	}
	if next == 0 || b.tryAt < next {
		next = b.tryAt
	}
	return false, list, next, redeliver
}

// survive is deferred where a session works on a goroutine that it shares with others. A bug in
// one session ends that session and nothing else. The panic has released the session's locks,
// because every Unlock of them is deferred.
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
	defer func() {
		if again := recover(); again != nil { // the transport is what is broken
			s.gateway.panicked(where, again)
		}
	}()
	s.breakOff() // the outbox cannot be trusted any more, so there is no CLOSE
}
