package gateway

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"gannet/protocol"
)

// input takes bytes as they came off the socket. It never waits and keeps
// nothing of p. Netpoll calls a handler that leaves bytes behind again at once,
// for ever, so everything is taken: whole frames are handled, the beginning of
// the next one is kept here, bounded by the frame limit.
func (s *session) input(p []byte) {
	defer s.survive("input")
	s.inputs++
	s.gateway.counters.reads.Add(1)
	s.gateway.counters.bytesIn.Add(uint64(len(p)))
	s.heard.Store(s.gateway.wheel.now())
	s.read(p)
	if held := int64(cap(s.partial)); held != s.begunBytes.Load() {
		s.chargeBegun(held)
	}
}

// read is input but for the books.
func (s *session) read(p []byte) {
	if s.phase.Load() == phaseClosing { // nothing of it counts any more
		s.partial = nil
		return
	}
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
		s.begunAt.Store(s.heard.Load())
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

// limit is how long a frame may be just now.
func (s *session) limit() int {
	if s.phase.Load() == phaseNew {
		return protocol.MaxHello
	}
	return protocol.MaxFrame
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
			if s.phase.Load() == phaseNew && looksProxied(p[taken:]) {
				s.close(protocol.CodeBadProxy) // from somebody who is none of the proxies
				return taken, false
			}
			s.close(protocol.CodeFrameTooLarge)
			return taken, false
		case err != nil:
			s.close(protocol.CodeBadFrame)
			return taken, false
		case n == 0:
			return taken, true
		}
		s.frame(f, p[taken:taken+n])
		taken += n
	}
}

// frame handles one frame of the client, whose bytes are raw.
func (s *session) frame(f protocol.Frame, raw []byte) {
	g := s.gateway
	s.taken++
	g.counters.framesIn.Add(1)
	// What comes together with HELLO was sent before WELCOME, however quick logic is.
	if s.phase.Load() != phaseOnline || s.greeted == s.inputs {
		if f.Type == protocol.TypeHello && s.phase.CompareAndSwap(phaseNew, phaseLogin) {
			s.greeted = s.inputs
			if wait := g.places.greeted(s.place); wait > 0 {
				s.turnAway(refusedFailedLogins, wait)
				return
			}
			g.logins.add(s, raw)
		} else {
			s.close(protocol.CodeHelloExpected)
		}
		return
	}
	if wait := s.mayPass(inFrames(raw)); wait > 0 {
		s.overPace(f, raw, wait)
		return
	}
	switch f.Type.Lane() {
	case protocol.LaneWrite:
		if f.Type != protocol.TypeSend || s.maySend(f, raw) {
			s.forward(f, raw)
		}
	case protocol.LaneRead:
		if s.mayAsk(f, raw) {
			g.queries.query(s, f, raw)
		}
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

// forward hands a frame that concerns a conversation to the lane of its queue.
func (s *session) forward(f protocol.Frame, raw []byte) {
	g := s.gateway
	target, _ := protocol.PeekTarget(f.Payload) // logic refuses what has none
	var short cursorFrame
	if f.Type == protocol.TypePushAck || f.Type == protocol.TypeRead {
		raw = short.of(raw)
	}
	if code := s.enqueue(target, raw); code != 0 {
		if s.awaitRoom(f) {
			return
		}
		if code == protocol.CodeBusy {
			g.counters.refusedBusy.Add(1)
		} else {
			g.counters.refusedTooMany.Add(1)
		}
		s.refuseFull(f, code)
		return
	}
	if f.Type == protocol.TypePushAck { // one that logic does not get ends no wait for it
		var ack protocol.Cursor
		if ack.Decode(f.Payload) == nil {
			s.acked(target, ack.Seq)
		}
	}
}

// cursorFrame is room for a PUSHACK or READ.
type cursorFrame [protocol.HeaderSize + 9 + 8]byte

// of gives the frame without what follows the last field that is known: it means
// nothing, and no limit of bytes counts it.
func (c *cursorFrame) of(raw []byte) []byte {
	if len(raw) <= len(c) {
		return raw
	}
	copy(c[:], raw)
	binary.BigEndian.PutUint32(c[:], uint32(len(c)-4))
	return c[:]
}

// enqueue puts a frame into the lane of its conversation, and says with which code it
// is refused; 0: it was taken.
func (s *session) enqueue(target protocol.Target, raw []byte) protocol.Code {
	g := s.gateway
	frames, bytes := s.window.add(1, len(raw))
	code := protocol.Code(0)
	switch {
	case frames > maxWritesInFlight:
		code = protocol.CodeTooManyRequests
	case bytes > windowBytes:
		g.counters.refusedWindow.Add(1)
		code = protocol.CodeTooManyRequests
	case !g.lanes[target.Conversation(s.user).Partition()%len(g.lanes)].add(s, raw):
		code = protocol.CodeBusy
	default:
		return 0
	}
	s.window.add(-1, -len(raw))
	return code
}

// carry is forward for a frame of which the client does not hear if there is no room:
// false.
func (s *session) carry(target protocol.Target, raw []byte) bool {
	return s.enqueue(target, raw) == 0
}

// refuseFull answers a frame for which there is no room, and holds the SENDs behind
// one.
func (s *session) refuseFull(f protocol.Frame, code protocol.Code) {
	wait := s.busyFor(s.gateway.wheel.now())
	if f.Type == protocol.TypeSend {
		s.unspend(f)
		wait = s.hold(wait, code, code.Meaning())
	}
	s.reply(failure(f.Request, code, wait))
}

// busyFor says for how long a client whose frame a lane refused should wait. All
// that is refused until then gets the same answer. A client that is refused again
// soon after waits for twice as long, so that what comes again and again does not
// crowd out what could be carried.
func (s *session) busyFor(now int64) time.Duration {
	if now >= s.busyUntil {
		if now > s.busyUntil+s.busyTicks {
			s.busyTicks = 0
		}
		s.busyTicks = min(max(2*s.busyTicks, minBusyTicks), maxBusyTicks)
		s.busyUntil = now + s.busyTicks/2 + rand.Int64N(s.busyTicks/2) + 1
	}
	return time.Duration(s.busyUntil-now) * tick
}
