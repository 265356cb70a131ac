package gateway

import (
	"time"

	"gannet/protocol"
)

// holding is why and until when the SENDs of a connection are refused.
type holding struct {
	until int64 // tick
	code  protocol.Code
	text  string
}

// hold has all SENDs of this connection refused, with this code and text, until d is
// over, and gives the time to say to the client: without it the ones behind a refused
// one would overtake it. A hold that lasts longer stays. PUSHACK and READ are not
// held, for they only rise.
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

// heldBack refuses a SEND while the connection is on hold.
func (s *session) heldBack(request uint32) bool {
	h := s.held.Load()
	if h == nil {
		return false
	}
	left := h.until - s.gateway.wheel.now()
	if left <= 0 {
		s.held.CompareAndSwap(h, nil)
		return false
	}
	s.sayHeld(request, h, left)
	return true
}

// sayHeld answers a SEND that is on hold for so many ticks more. It does not prolong
// the hold, or a client that goes on sending would never get out of it.
func (s *session) sayHeld(request uint32, h *holding, left int64) {
	s.gateway.counters.refusedHeld.Add(1)
	f := protocol.Failure{Code: h.code, Text: []byte(h.text), RetryAfter: uint32((time.Duration(left) * tick).Milliseconds())}
	s.reply(f.AppendError(nil, request))
}

// refuseVoid refuses a SEND that waited in a lane when one before it was refused. That
// hold may be over by then, but not for this one: it is not carried out before the
// other has come again.
func (s *session) refuseVoid(request uint32) {
	s.hold(tick, protocol.CodeBusy, protocol.CodeBusy.Meaning())
	h := s.held.Load()
	if h == nil {
		h = &holding{code: protocol.CodeBusy, text: protocol.CodeBusy.Meaning()}
	}
	s.sayHeld(request, h, max(h.until-s.gateway.wheel.now(), 1))
}
