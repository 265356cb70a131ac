package gateway

import (
	"context"
	"runtime"
	"testing"

	"gannet/protocol"
)

// The gateway's share of the budget: at most 2 objects for each message that
// comes in, is acked, and goes out to its receiver, at a batch of 32.
func TestGatewayStaysWithinItsAllocations(t *testing.T) {
	l := newLogic()
	fixed := newFixedLogic(l)
	st := newStage(t, l, Config{Logic: fixed, Lanes: 1})
	sender, receiver := st.login(1), st.login(2)
	const batch, rounds, budget = 32, 300, 2.0
	var in []byte
	deliveries := make([]delivery, batch)
	pushed := 0
	for i := range deliveries {
		in = append(in, protocol.Send{Target: direct(2), ClientID: uint64(i + 1), Content: protocol.ContentText, Body: []byte("hello, hello, hello")}.AppendFrame(nil, 1)...)
		deliveries[i] = delivery{Frame: pushFrame(1, 2, uint64(i+1), 100), Conns: []uint64{receiver.conn}}
		pushed += len(deliveries[i].Frame)
	}
	ack := protocol.Cursor{Target: direct(1), Seq: batch}.AppendPushAck(nil, 0)
	push := pushOf(deliveries)
	buf := make([]byte, 1<<20)
	round := func() {
		sender.send(in)
		sender.exactly(buf, batch*len(fixed.ack))
		st.Push(context.Background(), push)
		receiver.exactly(buf, pushed)
		receiver.send(ack)
	}
	for range 20 {
		round()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range rounds {
		round()
	}
	runtime.ReadMemStats(&after)
	each := float64(after.Mallocs-before.Mallocs) / (batch * rounds)
	t.Logf("%.3f objects a message", each)
	if each > budget {
		t.Errorf("%.3f objects a message, the budget is %v", each, budget)
	}
}
