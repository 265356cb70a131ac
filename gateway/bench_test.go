package gateway

import (
	"context"
	"testing"

	"gannet/internal/hop"
	"gannet/protocol"
)

// BenchmarkPush is a push of 32 frames to as many connections, from its call to the
// bytes at the receivers.
func BenchmarkPush(b *testing.B) {
	const receivers = 32
	st := newStage(b, newLogic(), Config{})
	peers := make([]*peer, receivers)
	deliveries := make([]delivery, receivers)
	for i := range peers {
		user := uint64(i + 1)
		peers[i] = st.login(user)
		deliveries[i] = delivery{Frame: pushFrame(100, user, 1, 128), Conns: []uint64{peers[i].conn}}
	}
	push := pushOf(deliveries)
	buf := make([]byte, 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		if absent := st.Push(b.Context(), push); len(absent) > 0 {
			b.Fatalf("absent: %v", absent)
		}
		for i, p := range peers {
			p.exactly(buf, len(deliveries[i].Frame))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*receivers), "ns/message")
}

// BenchmarkLane is 32 messages of one client to another: from the socket through the
// lane to a logic that does nothing, acks and pushes of the batch out again.
func BenchmarkLane(b *testing.B) {
	const window = 32
	l := newLogic()
	fixed := newFixedLogic(l)
	st := newStage(b, l, Config{Logic: fixed, Lanes: 1})
	sender, receiver := st.login(1), st.login(2)
	frame := pushFrame(1, 2, 1, 128)
	fixed.pushTo(st, frame, receiver.conn)
	var in []byte
	for i := range uint64(window) {
		in = append(in, protocol.Send{Target: direct(2), ClientID: i + 1, Content: protocol.ContentText, Body: make([]byte, 128)}.AppendFrame(nil, 1)...)
	}
	buf := make([]byte, 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		sender.send(in)
		sender.exactly(buf, window*len(fixed.ack))
		receiver.exactly(buf, window*len(frame))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*window), "ns/message")
}

// fixedLogic answers every SEND with the same bytes, pushes a fixed frame for each
// if it has one, and allocates nothing.
type fixedLogic struct {
	*scriptedLogic
	ack      []byte
	of, ends []uint32
	acks     []byte

	stage *stage
	push  *hop.Push
}

// fixedBatch is the most frames that a batch of a fixedLogic may have.
const fixedBatch = 1024

func newFixedLogic(l *scriptedLogic) *fixedLogic {
	f := &fixedLogic{scriptedLogic: l, ack: protocol.SendAck{ClientID: 1, Seq: 1}.AppendFrame(nil, 1)}
	for i := range uint32(fixedBatch) {
		f.acks = append(f.acks, f.ack...)
		f.of, f.ends = append(f.of, i), append(f.ends, uint32(len(f.acks)))
	}
	return f
}

// pushTo has each SEND of a batch pushed as this frame, with the batch's context.
func (l *fixedLogic) pushTo(st *stage, frame []byte, conn uint64) {
	l.stage, l.push = st, &hop.Push{Blob: frame, Conns: []uint64{conn}}
	for range fixedBatch {
		l.push.Frames = append(l.push.Frames, hop.Span{End: uint32(len(frame))})
		l.push.Receivers = append(l.push.Receivers, hop.Span{End: 1})
	}
}

func (l *fixedLogic) Forward(ctx context.Context, batch *hop.Forward) (hop.Answers, error) {
	n := 0
	for i := range batch.Len() {
		if f, _ := batch.Frame(i); f.Type == protocol.TypeSend {
			l.of[n] = uint32(i)
			n++
		}
	}
	if l.push != nil {
		push := *l.push
		push.Frames, push.Receivers = push.Frames[:n], push.Receivers[:n]
		l.stage.Push(ctx, &push)
	}
	return hop.Answers{Of: l.of[:n], Ends: l.ends[:n], Frames: l.acks[:n*len(l.ack)]}, nil
}

// exactly reads this many bytes.
func (p *peer) exactly(buf []byte, n int) {
	p.t.Helper()
	for n > 0 {
		got, err := p.Read(buf[:min(n, len(buf))])
		if err != nil {
			p.t.Fatal(err)
		}
		n -= got
	}
}
