package gateway

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"gannet/protocol"
)

// input handles bytes as they came from the socket. It never waits and does not keep p. netpoll
// calls a handler again at once, for ever, if it leaves bytes behind. So input takes everything:
// it handles the whole frames and keeps the beginning of the next one in partial. The frame limit
// bounds that.
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

// read does the work of input, without the counters.
func (s *session) read(p []byte) {
	if s.phase.Load() == phaseClosing { // nothing of it counts any more
		s.partial = nil
		return
	}
	if len(s.partial) > 0 {
		// Only the bytes that the begun frame still needs are copied to it. The frames behind it
		// are handled without a copy.
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

// missing gives how many bytes partial needs for the next step: first the length field, then the
// whole frame.
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

// frames handles the whole frames at the start of p and gives how many bytes they took. If ok is
// false, the connection ends, and the rest must not be read.
func (s *session) frames(p []byte) (taken int, ok bool) {
	for {
		if s.phase.Load() == phaseClosing {
			return taken, false
		}
		f, n, err := protocol.Split(p[taken:], s.limit())
		switch {
		case err == protocol.ErrFrameTooLarge:
			if s.phase.Load() == phaseNew && looksProxied(p[taken:]) {
				s.close(protocol.CodeBadProxy) // it is not one of the proxies
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
	// Frames that come together with HELLO were sent before WELCOME, however quick logic is.
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
	target, _ := protocol.PeekTarget(f.Payload) // logic refuses a frame without a target
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
	if f.Type == protocol.TypePushAck { // a refused PUSHACK does not stop the wait for one
		var ack protocol.Cursor
		if ack.Decode(f.Payload) == nil {
			s.acked(target, ack.Seq)
		}
	}
}

// cursorFrame is room for a PUSHACK or READ.
type cursorFrame [protocol.HeaderSize + 9 + 8]byte

// of gives the frame without anything behind the last field that is known. Such bytes mean
// nothing, and no limit of bytes would count them.
func (c *cursorFrame) of(raw []byte) []byte {
	if len(raw) <= len(c) {
		return raw
	}
	copy(c[:], raw)
	binary.BigEndian.PutUint32(c[:], uint32(len(c)-4))
	return c[:]
}

// enqueue puts a frame into the lane of its conversation. It returns the code with which to
// refuse the frame, or 0 if the lane took it.
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

// carry is like forward, but if there is no room it returns false and tells the client nothing.
func (s *session) carry(target protocol.Target, raw []byte) bool {
	return s.enqueue(target, raw) == 0
}

// refuseFull refuses a frame for which there is no room. If it is a SEND, later ones are held.
func (s *session) refuseFull(f protocol.Frame, code protocol.Code) {
	wait := s.busyFor(s.gateway.wheel.now())
	if f.Type == protocol.TypeSend {
		s.unspend(f)
		wait = s.hold(wait, code, code.Meaning())
	}
	s.reply(failure(f.Request, code, wait))
}

// busyFor gives how long a client should wait when a lane has refused its frame. Everything
// refused until then gets the same end of the wait. A client that is refused again soon
// afterwards waits twice as long, so that repeated frames do not crowd out others that could be
// carried.
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
