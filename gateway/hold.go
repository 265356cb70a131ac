package gateway

import (
	"time"

	"gannet/protocol"
)

// holding says until when and why the SENDs of a connection are refused. It stays after its end,
// so that a later SEND can find the code and text.
type holding struct {
	until int64 // tick
	code  protocol.Code
	text  string
}

// hold refuses all SENDs of this connection, with this code and text, until d is over. It returns
// the time to tell the client. Without it, SENDs behind a refused one would overtake it. A hold
// that lasts longer stays as it is. PUSHACK and READ are not held, because they only rise. The
// poller and the lanes call hold.
func (s *session) hold(d time.Duration, code protocol.Code, text string) time.Duration {
	now := s.gateway.wheel.now()
	until := now + int64((d+tick-1)/tick)
	for {
		h := s.held.Load()
		if h != nil && h.until >= until {
			return time.Duration(h.until-now) * tick
		}
		if s.held.CompareAndSwap(h, &holding{until, code, text}) {
			return time.Duration(until-now) * tick
		}
	}
}

// onHold gives the ticks that are left of the hold; 0: there is none.
func (s *session) onHold() (left int64) {
	h := s.held.Load()
	if h == nil {
		return 0
	}
	return max(0, h.until-s.gateway.wheel.now())
}

// heldBack refuses a SEND and returns true if the connection is on hold.
func (s *session) heldBack(f protocol.Frame, raw []byte) bool {
	left := s.onHold()
	if left == 0 {
		return false
	}
	s.gateway.counters.refusedHeld.Add(1)
	h := s.held.Load()
	// The wait is never too short: otherwise, with a clock that lags, the next SEND might be
	// taken.
	s.refuse(f, raw, h.code, h.text, s.hold(time.Duration(max(left, minHeldTicks))*tick, h.code, h.text))
	return true
}

// refuseVoid refuses a SEND that waited in a lane when an earlier one was refused, and marks
// those behind it to be refused too. The hold of the earlier one may be over by now. This SEND
// must still be refused, because it must not be carried out before the earlier one comes again.
func (l *lane) refuseVoid(p *part, request uint32) {
	s := p.session
	wait := s.hold(tick, protocol.CodeBusy, protocol.CodeBusy.Meaning())
	h := s.held.Load()
	s.gateway.counters.refusedHeld.Add(1)
	f := protocol.Failure{Code: h.code, Text: []byte(h.text), RetryAfter: uint32(wait.Milliseconds())}
	s.reply(f.AppendError(nil, request))
	l.mu.Lock()
	defer l.mu.Unlock()
	p.voidWaiting()
}

// heed handles an ERROR of logic that tells the client to send a SEND again. It holds the SENDs
// behind that one: those that will come, and those that wait here.
func (l *lane) heed(p *part, frame, b []byte) {
	if typeOf(b) != protocol.TypeError || !isSend(frame) {
		return
	}
	f, _, _ := protocol.Split(b, protocol.MaxFrame)
	var m protocol.Failure
	if m.Decode(f.Payload) != nil || m.Code.Action() != protocol.ActionRetry || m.RetryAfter == 0 {
		return
	}
	wait := time.Duration(m.RetryAfter) * time.Millisecond
	p.session.hold(min(wait, maxHold), m.Code, string(m.Text))
	l.mu.Lock()
	defer l.mu.Unlock()
	p.voidWaiting()
}

// voidWaiting marks all SENDs that wait in a part to be refused. The caller holds the lane's mu.
func (p *part) voidWaiting() {
	_, n := p.waiting()
	p.void = int32(n)
}
