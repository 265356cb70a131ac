package gateway

import (
	"context"
	"runtime"
	"testing"

	"gannet/protocol"
)

// fixedLogic answers every SEND with the same bytes and allocates nothing.
type fixedLogic struct {
	*scriptedLogic
	ack []byte
}

func (l *fixedLogic) Forward(_ context.Context, _ int, batch []protocol.Request, replies []protocol.Reply) []protocol.Reply {
	for _, r := range batch {
		if r.Frame.Type == protocol.TypeSend {
			replies = append(replies, protocol.Reply{Conn: r.Conn, Bytes: l.ack})
		}
	}
	return replies
}

// The gateway's share of the budget: at most 2 objects for each message that
// comes in, is acked, and goes out to its receiver, at a batch of 32.
func TestGatewayStaysWithinItsAllocations(t *testing.T) {
	l := newLogic()
	fixed := &fixedLogic{scriptedLogic: l, ack: protocol.SendAck{ClientID: 1, Seq: 1}.AppendFrame(nil, 1)}
	st := newStage(t, l, Config{Logic: fixed, Lanes: 1})
	sender, receiver := st.login(1), st.login(2)
	const batch, rounds, budget = 32, 300, 2.0
	var in []byte
	deliveries := make([]protocol.Delivery, batch)
	pushed := 0
	for i := range deliveries {
		in = append(in, sendFrame(2, uint64(i+1), "hello, hello, hello")...)
		deliveries[i] = protocol.Delivery{Frame: pushFrame(1, 2, uint64(i+1), 100), Conns: []uint64{receiver.conn}}
		pushed += len(deliveries[i].Frame)
	}
	ack := protocol.Cursor{Target: direct(1), Seq: batch}.AppendPushAck(nil, 0)
	buf := make([]byte, 1<<20)
	exactly := func(p *peer, n int) {
		for n > 0 {
			got, err := p.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			n -= got
		}
	}
	round := func() {
		sender.send(in)
		exactly(sender, batch*len(fixed.ack))
		st.Push(context.Background(), deliveries)
		exactly(receiver, pushed)
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
