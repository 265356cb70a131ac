//go:build !race

// The race detector makes sync.Pool forget at random, so allocations are counted
// without it.

package logic_test

import (
	"context"
	"testing"
	"time"

	"gannet/logic"
	"gannet/logic/embedded"
	"gannet/protocol"
)

// appliedLog says yes to everything at no cost.
type appliedLog struct{}

func (appliedLog) Append(_ context.Context, _ int, b *logic.Batch) error {
	for i := range b.Entries {
		b.Entries[i].Outcome = logic.Applied
		b.Entries[i].Seq = uint64(i + 1)
	}
	return nil
}

// mixedBatch has sends with acks and reads between them, as a busy lane has.
func mixedBatch(size int) (batch []protocol.Request) {
	for i := range uint64(size) {
		switch i % 4 {
		case 0:
			batch = append(batch, pushAck(2, 1, 1, i, uint32(i)))
		case 1:
			batch = append(batch, read(2, 1, 1, i, uint32(i)))
		default:
			batch = append(batch, send(1, 1, 2, i+1, "hello, this is a message of some length"))
		}
	}
	return batch
}

func TestForwardAllocations(t *testing.T) {
	s := logic.New(logic.Config{Log: appliedLog{}})
	batch, replies := mixedBatch(32), make([]protocol.Reply, 0, 32)
	allocs := testing.AllocsPerRun(200, func() {
		replies = s.Forward(context.Background(), 0, batch, replies[:0])
	})
	if len(replies) == 0 || allocs > 2 {
		t.Fatalf("%d replies, %.1f allocations a batch; may be 2: the record and the replies", len(replies), allocs)
	}
}

// TestMessagePathAllocations: everything that logic does for a batch of 32
// messages, the store on the disk included.
func TestMessagePathAllocations(t *testing.T) {
	const size = 32
	store, err := embedded.Open(t.TempDir(), embedded.Options{Lanes: 1, Publish: func(int, []byte) {}})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	s := logic.New(logic.Config{Log: store})
	batch, replies := make([]protocol.Request, size), make([]protocol.Reply, 0, size)
	messages := make([][]byte, size)
	id := uint64(0)
	allocs := testing.AllocsPerRun(200, func() {
		for i := range batch {
			id++
			m := protocol.Send{Target: to(2 + uint64(i)), ClientID: id, Content: protocol.ContentText}
			messages[i] = m.AppendFrame(messages[i][:0], uint32(id))
			f, _, _ := protocol.Split(messages[i], protocol.MaxFrame)
			batch[i] = protocol.Request{Identity: protocol.Identity{User: 1, Device: 1, Conn: 1}, Frame: f}
		}
		replies = s.Forward(context.Background(), 0, batch, replies[:0])
	})
	if len(replies) != size || allocs > size {
		t.Fatalf("%d replies, %.1f allocations a batch; may be 1 a message", len(replies), allocs)
	}
	t.Logf("%.1f allocations for a batch of %d messages", allocs, size)
}

func BenchmarkForward(b *testing.B) {
	const size = 32
	s := logic.New(logic.Config{Log: appliedLog{}, Now: time.Now})
	batch, replies := mixedBatch(size), make([]protocol.Reply, 0, size)
	b.ReportAllocs()
	for range b.N {
		replies = s.Forward(context.Background(), 0, batch, replies[:0])
	}
	b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "requests/s")
}
