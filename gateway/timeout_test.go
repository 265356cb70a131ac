package gateway

import (
	"testing"
	"time"

	"gannet/internal/hop"
	"gannet/protocol"
)

func TestSilenceAfterConnect(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	silent, neighbour := st.dial(), st.login(2)
	st.eventually("both are there", func() bool { return st.stat("connections") == 2 })
	st.turn(protocol.LoginTimeout - tick)
	neighbour.alive()
	if n := st.stat("close.login_timeout"); n != 0 {
		t.Fatal("closed too early")
	}
	st.turn(2 * tick)
	if code := silent.closed(); code != protocol.CodeLoginTimeout {
		t.Errorf("closed with %v", code)
	}
	neighbour.alive()
}

func TestHalfAHelloIsSilenceToo(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	p := st.dial()
	p.send(hello(1)[:20])
	st.eventually("the part arrived", func() bool { return st.stat("bytes_in") == 20 })
	st.turn(protocol.LoginTimeout + tick)
	if code := p.closed(); code != protocol.CodeLoginTimeout {
		t.Errorf("closed with %v", code)
	}
}

func TestClientThatStopsAnswering(t *testing.T) {
	l := newLogic()
	l.silence = 10 * time.Second
	st := newStage(t, l, Config{})
	dead, neighbour := st.login(1), st.login(2)
	for range 4 { // two intervals, in which the neighbour keeps its promise
		st.turn(5 * time.Second)
		neighbour.alive()
	}
	st.turn(time.Second)
	if code := dead.closed(); code != protocol.CodeHeartbeatTimeout {
		t.Errorf("closed with %v", code)
	}
	neighbour.alive()
	st.eventually("only the dead one is gone", func() bool {
		return st.stat("close.heartbeat_timeout") == 1 && st.stat("connections") == 1
	})
}

// A push that nobody acks comes three times in all, then it waits in the store.
func TestPushWithoutAckComesThreeTimes(t *testing.T) {
	l := newLogic()
	l.redeliver = func(again *hop.Redelivery) []byte {
		if again.Range != (protocol.Range{Target: direct(1), First: 4, Last: 5}) {
			t.Errorf("asked for %+v", again)
		}
		return append(pushFrame(1, 2, 4, 10), pushFrame(1, 2, 5, 10)...)
	}
	st := newStage(t, l, Config{})
	p := st.login(2)
	st.push([]delivery{
		{Frame: pushFrame(1, 2, 4, 10), Conns: []uint64{p.conn}},
		{Frame: pushFrame(1, 2, 5, 10), Conns: []uint64{p.conn}},
	})
	pushed := func(times int) {
		t.Helper()
		for i := range 2 * times {
			f := p.next()
			var m protocol.Message
			if err := m.Decode(f.Payload); err != nil || f.Type != protocol.TypePush || m.Seq != uint64(4+i%2) {
				t.Fatalf("frame %d: %#x seq %d, %v", i, f.Type, m.Seq, err)
			}
		}
		p.alive()
	}
	pushed(1)
	for n := 1; n < protocol.MaxPushes; n++ {
		st.turn(protocol.PushAckTimeout + tick)
		st.eventually("logic is asked", func() bool { return l.redeliveries() == n })
		pushed(1)
	}
	st.turn(5 * protocol.PushAckTimeout)
	p.alive()
	if n := l.redeliveries(); n != protocol.MaxPushes-1 {
		t.Errorf("pushed %d times", n+1)
	}
	if again, up := st.stat("push.again"), st.stat("push.given_up"); again != protocol.MaxPushes-1 || up != 1 {
		t.Errorf("counted %d again, %d given up", again, up)
	}
}

func TestPushAckEndsTheWait(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	p := st.login(2)
	for seq := uint64(1); seq <= 3; seq++ {
		st.push([]delivery{{Frame: pushFrame(1, 2, seq, 10), Conns: []uint64{p.conn}}})
	}
	p.send(protocol.Cursor{Target: direct(1), Seq: 2}.AppendPushAck(nil, 0))
	p.alive()
	st.turn(protocol.PushAckTimeout + tick)
	st.eventually("the third is asked for", func() bool { return st.logic.redeliveries() == 1 })
	if again := st.logic.again[0]; again.First != 3 || again.Last != 3 {
		t.Errorf("asked for %+v", again)
	}
	p.send(protocol.Cursor{Target: direct(1), Seq: 3}.AppendPushAck(nil, 0))
	p.alive()
	st.turn(4 * protocol.PushAckTimeout)
	if n := st.logic.redeliveries(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	st.eventually("both acks went to logic", func() bool { return len(st.logic.requests()) == 2 })
}

func TestTooManyUnackedConversationsBecomeHints(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	p := st.login(2)
	const conversations = maxUnackedConversations + 5
	for from := uint64(10); from < 10+conversations; from++ {
		st.push([]delivery{{Frame: pushFrame(from, 2, 1, 10), Conns: []uint64{p.conn}}})
	}
	hints := 0
	for hints < 5 {
		if f := p.next(); f.Type == protocol.TypeHint {
			hints++
		}
	}
	if n := st.stat("push.untracked"); n != 5 {
		t.Errorf("%d counted", n)
	}
}
