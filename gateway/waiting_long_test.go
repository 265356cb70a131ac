package gateway

import (
	"testing"

	"gannet/internal/limiter"
	"gannet/protocol"
)

// Acks that wait pay for their length, as those do that come in time: of long ones few are
// carried in a turn, and what comes meanwhile finds no tokens.
func TestLongAcksThatWaitPayForTheirLength(t *testing.T) {
	const many = 20
	st := newLimitedStage(t, newLogic(), limiter.Rates{}, limiter.Rate{PerSecond: 1000, Burst: 1})
	p := st.login(1)
	s := st.sessions.get(p.conn)
	waiting := func() int {
		s.waiting.mu.Lock()
		defer s.waiting.mu.Unlock()
		return len(s.waiting.list)
	}
	s.passesLate(st.wheel.now(), 1) // the first of them waits as well
	f := protocol.Cursor{Target: protocol.Target{Kind: protocol.KindDirect, ID: 2}, Seq: 1}.AppendRead(nil, 1)
	payload := append(f[protocol.HeaderSize:], make([]byte, 60<<10)...)
	cost := 0
	for request := uint32(1); request <= many; request++ {
		frame := protocol.Frame{Type: protocol.TypeRead, Request: request, Payload: payload}.Append(nil)
		cost = inFrames(frame)
		p.send(frame)
	}
	st.eventually("all of them wait", func() bool { return waiting() == many })
	frames, _ := s.gateway.pace.perTurn()
	filled := s.filled.Load()
	st.turn(tick)
	carried := many - waiting()
	if most := frames/cost + 1; carried == 0 || carried > most {
		t.Errorf("%d acks of %d tokens each are carried in a turn of %d, at most %d", carried, cost, frames, most)
	}
	if paid := (s.filled.Load() - filled) / s.gateway.pace.each; paid < int64(carried*cost) {
		t.Errorf("%d of them have paid %d tokens", carried, paid)
	}
}
