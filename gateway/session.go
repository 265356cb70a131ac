package gateway

import (
	"log/slog"
	"sync"
	"sync/atomic"

	"gannet/protocol"
)

// transport is the socket below a session. Netpoll carries plain TCP, crypto/tls
// carries TLS; the session is the same above both. A transport calls
// session.input with what it read, never from two goroutines at once, and
// session.ended exactly once, after the last input.
type transport interface {
	// write takes as much of p as it can without waiting and says how much that
	// was; less than everything is no error. Only the holder of the session's
	// writing lock calls it.
	write(p []byte) (int, error)

	// shutdown ends the connection in both directions, after what was written
	// has gone out. ended follows. It may be called more than once, by the holder
	// of the writing lock.
	shutdown()

	// remote names the peer, for the log.
	remote() string
}

// phase is where a connection is in its life.
type phase = int32

const (
	phaseNew     phase = iota // waits for HELLO
	phaseLogin                // HELLO is with logic
	phaseOnline               // user and device are known
	phaseClosing              // a CLOSE is on its way out, or the peer is gone
)

// session is one connection. It has no goroutine: the poller brings input, the
// writer takes output away, the wheel brings what is due.
//
// Locks, in the order in which they may be taken: writing, mu. Neither is held
// while anything waits.
type session struct {
	id        uint64
	gateway   *Gateway
	transport transport

	phase    atomic.Int32
	user     uint64 // set before phaseOnline, read only from then on
	device   uint64
	opened   int64        // tick
	heard    atomic.Int64 // tick of the last input
	silence  int64        // ticks without input that end the connection; set before phaseOnline
	writes   atomic.Int32 // SEND, PUSHACK and READ frames that logic has not answered
	reads    atomic.Int32 // SYNC and HISTORY likewise
	partial  []byte       // the frame that has not arrived whole; input only
	inputs   uint32       // calls of input; input only
	greeted  uint32       // the one that brought HELLO; input only
	timer    timer
	writing  sync.Mutex // held to use the transport, so that it is not closed meanwhile
	released bool       // the transport must not be used any more; guarded by writing

	mu      sync.Mutex // guards what follows
	outbox  outbox
	queued  bool // in the writer's list
	reason  protocol.Code
	entered bool // logic knows the device: Logout is due at the end
	unacked []unacked
	stuck   int64 // tick since when a blocked socket has taken nothing
}

func (s *session) identity() protocol.Identity {
	return protocol.Identity{Gateway: s.gateway.id, Conn: s.id, User: s.user, Device: s.device}
}

// limit is how long a frame may be just now.
func (s *session) limit() int {
	if s.phase.Load() == phaseNew {
		return protocol.MaxHello
	}
	return protocol.MaxFrame
}

// input takes bytes as they came off the socket. It never waits and keeps
// nothing of p. Netpoll calls a handler that leaves bytes behind again at once,
// for ever, so everything is taken: whole frames are handled, the beginning of
// the next one is kept here, bounded by the frame limit.
func (s *session) input(p []byte) {
	s.inputs++
	s.gateway.counters.reads.Add(1)
	s.gateway.counters.bytesIn.Add(uint64(len(p)))
	s.heard.Store(s.gateway.wheel.now())
	if len(s.partial) > 0 {
		// Only as much as the frame still lacks joins the part, so that the frames
		// behind it are not copied as well.
		for len(p) > 0 && len(s.partial) > 0 {
			need := s.missing()
			n := min(need, len(p))
			s.partial = append(s.partial, p[:n]...)
			p = p[n:]
			if n < need {
				return
			}
			if taken, ok := s.frames(s.partial); !ok {
				s.partial = nil
				return
			} else if taken > 0 {
				s.partial = nil
			}
		}
	}
	taken, ok := s.frames(p)
	if !ok {
		s.partial = nil
		return
	}
	if taken < len(p) {
		s.partial = append(s.partial, p[taken:]...)
	}
}

// missing says how many bytes the kept part lacks until its next step: the
// length field, then the whole frame.
func (s *session) missing() int {
	if have := len(s.partial); have < 4 {
		return 4 - have
	}
	n := 4 + int(uint32(s.partial[0])<<24|uint32(s.partial[1])<<16|uint32(s.partial[2])<<8|uint32(s.partial[3]))
	return n - len(s.partial)
}

// frames handles the whole frames at the start of p and says how many bytes they
// took; not ok: the connection ends, and what follows is not looked at.
func (s *session) frames(p []byte) (taken int, ok bool) {
	for {
		if s.phase.Load() == phaseClosing {
			return taken, false
		}
		f, n, err := protocol.Split(p[taken:], s.limit())
		switch {
		case err == protocol.ErrFrameTooLarge:
			s.close(protocol.CodeFrameTooLarge)
			return taken, false
		case err != nil:
			s.close(protocol.CodeBadFrame)
			return taken, false
		case n == 0:
			return taken, true
		}
		taken += n
		s.frame(f)
	}
}

// frame handles one frame of the client.
func (s *session) frame(f protocol.Frame) {
	g := s.gateway
	g.counters.framesIn.Add(1)
	// What comes together with HELLO was sent before WELCOME, however quick logic is.
	if s.phase.Load() != phaseOnline || s.greeted == s.inputs {
		if f.Type == protocol.TypeHello && s.phase.CompareAndSwap(phaseNew, phaseLogin) {
			s.greeted = s.inputs
			g.readers.login(s, f)
		} else {
			s.close(protocol.CodeHelloExpected)
		}
		return
	}
	switch f.Type.Lane() {
	case protocol.LaneWrite:
		g.write(s, f)
	case protocol.LaneRead:
		g.readers.read(s, f)
	default:
		switch f.Type {
		case protocol.TypePing:
			s.reply(protocol.AppendEmpty(nil, protocol.TypePong, f.Request))
		case protocol.TypeHello:
			g.counters.refusedType.Add(1)
			s.fail(f.Request, protocol.CodeAlreadyLoggedIn)
		default:
			g.counters.refusedType.Add(1)
			s.fail(f.Request, protocol.CodeUnknownType)
		}
	}
}

// welcome ends the login; entered devices of connections that closed meanwhile
// are taken out again by the caller (false).
func (s *session) welcome(login protocol.Login, device uint64) bool {
	s.mu.Lock()
	if s.phase.Load() == phaseClosing {
		s.mu.Unlock()
		return false
	}
	s.user, s.device = login.User, device
	s.silence = 2*int64(login.Heartbeat/tick) + 1
	s.entered = true
	s.outbox.first(login.Welcome)
	s.phase.Store(phaseOnline)
	queue := s.enqueue()
	s.mu.Unlock()
	if queue {
		s.gateway.writerOf(s).add(s)
	}
	s.gateway.wheel.schedule(s, s.gateway.wheel.now()+s.silence)
	return true
}

// reply puts encoded frames that answer the client into the outbox and sees to
// their being written.
func (s *session) reply(b []byte) {
	if s.put(b) && s.claim() {
		s.gateway.writerOf(s).add(s)
	}
}

// put puts encoded frames that answer the client into the outbox; true: nobody
// is going to write them as yet.
func (s *session) put(b []byte) (waits bool) {
	s.mu.Lock()
	if s.phase.Load() == phaseClosing {
		s.mu.Unlock()
		return false
	}
	ok := s.outbox.reply(b)
	waits = ok && !s.queued && !s.outbox.blocked
	s.mu.Unlock()
	if !ok {
		s.close(protocol.CodeNotReading)
	}
	return waits
}

// claim asks the caller (true) to hand the session to the writer, if something
// waits in the outbox that nobody is going to write.
func (s *session) claim() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.outbox.empty() && s.enqueue()
}

// fail answers a request with an ERROR.
func (s *session) fail(request uint32, code protocol.Code) {
	f := protocol.Failure{Code: code, Text: []byte(code.Meaning())}
	if code.Action() == protocol.ActionRetry {
		f.RetryAfter = uint32(busyRetry.Milliseconds())
	}
	s.reply(f.AppendError(nil, request))
}

// enqueue says whether the session has to be handed to the writer; mu is held.
func (s *session) enqueue() bool {
	if s.queued || s.outbox.blocked {
		return false
	}
	s.queued = true
	return true
}

// close says CLOSE with the code and ends the connection once that is written or
// cannot be. The first reason counts.
func (s *session) close(code protocol.Code) {
	s.closeAfter(code, 0)
}

func (s *session) closeAfter(code protocol.Code, retryAfter uint32) {
	s.mu.Lock()
	if s.phase.Swap(phaseClosing) == phaseClosing {
		s.mu.Unlock()
		return
	}
	s.reason = code
	f := protocol.Failure{Code: code, RetryAfter: retryAfter, Text: []byte(code.Meaning())}
	s.outbox.last(f.AppendClose(nil))
	queue := !s.queued // also when the socket is blocked: one more try
	s.queued = true
	s.mu.Unlock()
	if queue {
		s.gateway.writerOf(s).add(s)
	}
}

// flush writes what the outbox holds, as far as the socket takes it, through
// scratch. The writer calls it, nobody else.
func (s *session) flush(scratch []byte) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.released {
		return
	}
	g := s.gateway
	for {
		s.mu.Lock()
		s.queued = false
		closing := s.phase.Load() == phaseClosing
		p := s.outbox.take(scratch[:0])
		if len(p) == 0 {
			s.outbox.blocked = false
		}
		s.mu.Unlock()
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
		if n == len(p) && n < cap(scratch) && !closing && s.drained() {
			return
		}
		if n < len(p) {
			s.block(p[n:], n > 0)
			return
		}
	}
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
	if progress || !s.outbox.blocked {
		s.stuck = w.now()
	}
	s.outbox.untake(rest)
	s.outbox.detach()
	s.mu.Unlock()
	w.schedule(s, w.now()+1)
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
	g.wheel.remove(s)
	g.sessions.remove(s)
	g.counters.close(reason)
	if entered {
		g.logic.Logout(g.ctx, s.identity())
	}
}

// due does what the wheel woke the session for and says when to wake it next;
// 0: never.
func (s *session) due(now int64) int64 {
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
	next := s.heard.Load() + s.silence
	if next <= now {
		s.close(protocol.CodeHeartbeatTimeout)
		return 0
	}
	s.mu.Lock()
	stuck := s.outbox.blocked && now-s.stuck >= writeTicks
	flush := !s.outbox.empty() && !stuck && !s.queued // a blocked socket, or receipts that waited
	s.queued = s.queued || flush
	again, redeliver := s.overdue(now)
	s.mu.Unlock()
	if stuck {
		s.close(protocol.CodeWriteTimeout)
		return 0
	}
	if flush {
		s.gateway.writerOf(s).add(s)
	}
	for _, r := range redeliver {
		s.gateway.readers.redeliver(s, r)
	}
	if again != 0 {
		next = min(next, again)
	}
	return next
}
