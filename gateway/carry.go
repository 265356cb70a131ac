package gateway

import (
	"errors"
	"fmt"
	"time"

	"gannet/internal/hop"
	"gannet/protocol"
)

// carry has logic carry out a batch, puts the answers into the outboxes and wakes
// the writers, for the pushes of the batch too.
func (l *lane) carry(f *filling) {
	g := l.gateway
	l.carrying.Store(true)
	defer l.end(f)
	if l.sift(f); f.batch.Len() == 0 {
		return
	}
	g.counters.batches.Add(1)
	g.counters.requests.Add(uint64(f.batch.Len()))
	answers, err := l.forward(&f.batch)
	if err == nil {
		err = answers.Check(f.batch.Len())
	}
	f.release()
	l.answer(f, &answers, err)
}

// end has everybody written to whom the batch concerns. A panic on the way here is a
// bug of this batch alone; its sessions are closed, for nobody knows which of their
// frames were answered.
func (l *lane) end(f *filling) {
	g := l.gateway
	if cause := recover(); cause != nil {
		g.panicked("lane", cause)
		for _, p := range f.parts {
			p.session.close(protocol.CodeInternal)
		}
	}
	l.carrying.Store(false) // before the writers are woken: see within
	g.writers.add(l.touched...)
	g.writers.wake()
	clear(l.touched)
	l.touched = l.touched[:0]
}

// errPanic is what a call that panicked gives: a bug that concerns this call alone.
var errPanic = errors.New("gateway: logic panicked")

// forward calls logic.
func (l *lane) forward(batch *hop.Forward) (answers hop.Answers, err error) {
	defer l.gateway.surviveLogic(&err)
	return l.gateway.logic.Forward(l.ctx, batch)
}

// surviveLogic is deferred around calls of logic: a panic there is an error like
// any other.
func (g *Gateway) surviveLogic(err *error) {
	cause := recover()
	if cause == nil {
		return
	}
	*err = fmt.Errorf("%w: %v", errPanic, cause)
	g.panicked("logic", cause)
}

// answer puts the answers into the outboxes. Whoever waits for one that did not
// come, or is none, hears unavailable: the frame may have been carried out or not.
func (l *lane) answer(f *filling, answers *hop.Answers, err error) {
	g := l.gateway
	n := f.batch.Len()
	wrong := 0
	l.answered = append(l.answered[:0], make([]bool, n)...)
	if err == nil {
		for i := range answers.Of {
			of := int(answers.Of[i])
			if b, frame := answers.Bytes(i), f.batch.Bytes(of); answersFrame(frame, b) {
				l.put(f.parts[of].session, b)
				l.heed(f.parts[of], frame, b)
				l.answered[of] = true
			} else if !wantsAnswer(frame) {
				wrong++ // of the others it is counted that they lack one
			}
		}
	}
	for i := range n {
		if frame := f.batch.Bytes(i); !l.answered[i] && wantsAnswer(frame) {
			wrong++
			b := failure(requestOf(frame), protocol.CodeUnavailable, busyRetry)
			l.put(f.parts[i].session, b)
			l.heed(f.parts[i], frame, b)
		}
	}
	switch {
	case err != nil:
		g.counters.logicFailed.Add(1)
		if g.said.logic.Now() {
			g.log.Warn("gateway: a batch was not answered", "queue", l.index, "frames", n, "error", err)
		}
	case wrong > 0:
		g.counters.logicUnanswered.Add(uint64(wrong))
		if g.said.answers.Now() {
			g.log.Error("gateway: logic left frames without an answer, or gave one that is none", "queue", l.index, "frames", n, "of them", wrong)
		}
	}
}

func (l *lane) put(s *session, b []byte) {
	defer s.survive("answer")
	if s.put(b) {
		l.touched = append(l.touched, s)
	}
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
	_, n := p.waiting()
	p.void = int32(n)
}

// requestOf reads the request number off a whole encoded frame.
func requestOf(frame []byte) uint32 {
	f, _, _ := protocol.Split(frame, protocol.MaxFrame)
	return f.Request
}

// typeOf reads the type off a whole encoded frame, and isSend says whether that is
// SEND.
func typeOf(frame []byte) protocol.Type { return protocol.Type(frame[4]) }

func isSend(frame []byte) bool { return typeOf(frame) == protocol.TypeSend }

// wantsAnswer says whether the sender of a frame waits for an answer.
func wantsAnswer(frame []byte) bool {
	f, _, _ := protocol.Split(frame, protocol.MaxFrame)
	return f.Type == protocol.TypeSend || f.Request != 0
}

// answersFrame says whether b is exactly one frame that can answer the frame of a
// client.
func answersFrame(frame, b []byte) bool {
	asked, _, _ := protocol.Split(frame, protocol.MaxFrame)
	f, n, err := protocol.Split(b, protocol.MaxFrame)
	return err == nil && n == len(b) && n > 0 && f.Request == asked.Request &&
		(f.Type == protocol.TypeError || f.Type == asked.Type.Answer())
}
