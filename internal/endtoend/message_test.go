package endtoend

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"

	"gannet/internal/command"
	"gannet/protocol"
)

// exchange sends messages through the whole server, batch of them at a time:
// SEND, durable, SENDACK, PUSH, PUSHACK, RECEIPT. Its own part allocates nothing.
type exchange struct {
	t        testing.TB
	from, to *rawClient
	batch    int
	out, in  []byte
	ack      []byte
	seq      uint64
}

func newExchange(t testing.TB, batch, size int) *exchange {
	s := startServer(t, command.RaisedLimits()...)
	x := &exchange{t: t, from: s.login(t, 1), to: s.login(t, 2), batch: batch}
	body := make([]byte, size)
	for i := range batch {
		x.out = protocol.Send{
			Target: protocol.Target{Kind: protocol.KindDirect, ID: 2}, ClientID: uint64(i + 1), Content: protocol.ContentText, Body: body,
		}.AppendFrame(x.out, 0)
	}
	x.in = make([]byte, 1<<20)
	return x
}

// next sends one batch and waits for its acks and pushes. Its RECEIPT comes with
// the acks of the next one.
func (x *exchange) next() {
	frame := len(x.out) / x.batch
	for i := range x.batch { // client ids rise
		binary.BigEndian.PutUint64(x.out[i*frame+protocol.HeaderSize+9:], x.seq+uint64(i)+1)
	}
	x.from.send(x.out)
	x.seq += uint64(x.batch)
	x.await(x.from, protocol.TypeSendAck, x.batch)
	x.await(x.to, protocol.TypePush, x.batch)
	x.ack = protocol.Cursor{Target: protocol.Target{Kind: protocol.KindDirect, ID: 1}, Seq: x.seq}.AppendPushAck(x.ack[:0], 0)
	x.to.send(x.ack)
}

// finish waits for the RECEIPT of the last batch.
func (x *exchange) finish() { x.await(x.from, protocol.TypeReceipt, 1) }

// await reads until n frames of the type have come and nothing is left over.
func (x *exchange) await(p *rawClient, t protocol.Type, n int) {
	kept := 0
	for n > 0 {
		got, err := p.Read(x.in[kept:])
		if err != nil {
			x.t.Fatal(err)
		}
		kept += got
		taken := 0
		for {
			f, size, err := protocol.Split(x.in[taken:kept], protocol.MaxFrame)
			if err != nil || f.Type == protocol.TypeError {
				x.t.Fatalf("%#x: %v", f.Type, err)
			}
			if size == 0 {
				break
			}
			if f.Type == t {
				n--
			}
			taken += size
		}
		kept = copy(x.in, x.in[taken:kept])
	}
}

// BenchmarkMessage is the path of a message through the whole server, sockets
// and fsync included, by how many travel together.
//
//	go test -bench Message -benchmem ./internal/endtoend
func BenchmarkMessage(b *testing.B) {
	for _, batch := range []int{1, 32, 256} {
		b.Run(fmt.Sprint("batch-", batch), func(b *testing.B) {
			x := newExchange(b, batch, 128)
			x.next()
			b.ReportAllocs()
			b.ResetTimer()
			for range (b.N + batch - 1) / batch {
				x.next()
			}
			b.StopTimer()
			x.finish()
		})
	}
}

// The budget: at most 6 objects for each message of a batch of 32, everything in
// the process counted.
func TestMessageStaysWithinItsAllocations(t *testing.T) {
	const batch, rounds, budget = 32, 300, 6.0
	x := newExchange(t, batch, 128)
	for range 20 {
		x.next()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range rounds {
		x.next()
	}
	x.finish()
	runtime.ReadMemStats(&after)
	each := float64(after.Mallocs-before.Mallocs) / (batch * rounds)
	t.Logf("%.2f objects a message", each)
	if each > budget {
		t.Errorf("%.2f objects a message, the budget is %v", each, budget)
	}
}
