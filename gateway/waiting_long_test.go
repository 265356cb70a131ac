package gateway

import (
	"testing"

	"gannet/internal/limiter"
	"gannet/protocol"
)

// Acks that wait pay for their length as those do that come in time: whoever pads them
// without end, each with a request of its own, so that none joins another, goes on over
// the limit and is closed.
func TestLongAcksThatWaitPayForTheirLength(t *testing.T) {
	st := newLimitedStage(t, newLogic(), limiter.Rates{}, limiter.Rate{PerSecond: 1000, Burst: 4096})
	p := st.login(1)
	padding := make([]byte, 60<<10)
	closed := false
	for request := uint32(1); !closed && request < 4000; request++ {
		f := protocol.Cursor{Target: protocol.Target{Kind: protocol.KindDirect, ID: 2}, Seq: 1}.AppendRead(nil, request)
		payload := append(f[protocol.HeaderSize:], padding...)
		frame := protocol.Frame{Type: protocol.TypeRead, Request: request, Payload: payload}.Append(nil)
		if _, err := p.Write(frame); err != nil {
			closed = true
		}
		if request%45 == 0 {
			st.turn(tick) // 900 of them a second
		}
	}
	st.eventually("it is closed", func() bool { return st.stat("close.over_limits") == 1 })
}
