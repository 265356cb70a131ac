package gateway

import (
	"time"

	"gannet/protocol"
)

// holding is why and until when the SENDs of a connection are refused. It stays when
// it is over, for the next one to know.
type holding struct {
	until int64 // tick
	code  protocol.Code
	text  string
}

// hold has all SENDs of this connection refused, with this code and text, until d is
// over, and gives the time to say to the client: without it the ones behind a refused
// one would overtake it. A hold that lasts longer stays. PUSHACK and READ are not
// held, for they only rise. The poller and the lanes call it.
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

// heldBack refuses a SEND while the connection is on hold.
func (s *session) heldBack(f protocol.Frame, raw []byte) bool {
	left := s.onHold()
	if left == 0 {
		return false
	}
	s.gateway.counters.refusedHeld.Add(1)
	h := s.held.Load()
	// A clock that lags behind must not refuse a SEND and take the next one.
	s.refuse(f, raw, h.code, h.text, s.hold(time.Duration(max(left, minHeldTicks))*tick, h.code, h.text))
	return true
}

// refuseVoid refuses a SEND that waited in a lane when one before it was refused, and
// those behind it. That hold may be over by then, but not for this one, which is not
// carried out before the other has come again.
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

// heed holds the SENDs of a connection behind one that logic did not carry out and
// that is to be sent again: those that come, and those that wait here.
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

// voidWaiting has the SENDs of all that waits of a part refused. The lane's mu is held.
func (p *part) voidWaiting() {
	_, n := p.waiting()
	p.void = int32(n)
}
