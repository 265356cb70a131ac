package logic

import (
	"time"

	"gannet/internal/hop"
	"gannet/protocol"
)

// Sizes of answers, taken from the codec. They serve to allocate the buffer once.
var (
	sendAckSize = len(protocol.SendAck{}.AppendFrame(nil, 0))
	errorSize   = len(failure(nil, 0, protocol.CodeInternal, 0))
	answerSize  = max(sendAckSize, errorSize)
)

// answer encodes the answers to a batch.
func (f *forwarding) answer() hop.Answers {
	n := 0
	for i := range f.frames {
		x := &f.frames[i]
		if x.code == 0 {
			x.code, x.retry = f.outcome(x.entry)
		}
		if x.answered() {
			n++
		}
	}
	if n == 0 {
		return hop.Answers{}
	}
	lists := make([]uint32, 2*n)
	a := hop.Answers{Of: lists[:0:n], Ends: lists[n:n], Frames: make([]byte, 0, n*answerSize)}
	for i := range f.frames {
		x := &f.frames[i]
		switch {
		case !x.answered():
			continue
		case x.code != 0:
			a.Frames = failure(a.Frames, x.frame.Request, x.code, x.retry)
		case x.frame.Type == protocol.TypeSend:
			e := &f.entries[x.entry]
			a.Frames = protocol.SendAck{ClientID: e.ClientID, Seq: e.Seq, Time: e.Time}.AppendFrame(a.Frames, x.frame.Request)
		default:
			a.Frames = protocol.AppendEmpty(a.Frames, protocol.TypeDone, x.frame.Request)
		}
		a.Close(i)
	}
	return a
}

// answered says whether the frame gets an answer.
func (x *inbound) answered() bool {
	return x.code != 0 || x.frame.Type == protocol.TypeSend || x.frame.Request != 0
}

// outcome gives the code with which an entry failed, or 0. The duration is how long the client is
// to wait before it tries again, or 0 if the log did not say.
func (f *forwarding) outcome(entry int) (protocol.Code, time.Duration) {
	e := &f.entries[entry]
	switch {
	case f.batch.Err != nil || e.Outcome == Unknown:
		return protocol.CodeUnavailable, 0
	case e.Outcome == Refused:
		return e.Code, e.RetryAfter
	}
	return 0, 0
}
