//go:build !race

// The race detector makes sync.Pool forget at random, so allocations are counted
// without it.

package logic_test

import (
	"context"
	"io"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"gannet/internal/directory"
	"gannet/internal/hop"
	"gannet/logic"
	"gannet/logic/embedded"
	"gannet/protocol"
	"gannet/transfer"
	queues "gannet/transfer/embedded"
)

// mixedBatch has sends with acks and reads between them, as a busy lane has.
func mixedBatch(size int) *hop.Forward {
	var frames []asked
	for i := range uint64(size) {
		switch i % 4 {
		case 0:
			frames = append(frames, pushAck(2, 1, 1, i, uint32(i)))
		case 1:
			frames = append(frames, read(2, 1, 1, i, uint32(i)))
		default:
			frames = append(frames, send(1, 1, 2, i+1, "hello, this is a message of some length"))
		}
	}
	return batch(frames...)
}

// What logic allocates for a batch, whatever its size: the blob of the pushes, the
// answers and their lists.
func TestForwardAllocations(t *testing.T) {
	s, _ := newService(func(*logic.Config) {})
	b := mixedBatch(32)
	n := 0
	allocs := testing.AllocsPerRun(200, func() {
		answers, err := s.Forward(context.Background(), b)
		if err != nil {
			t.Fatal(err)
		}
		n += answers.Len()
	})
	if n == 0 || allocs > 3 {
		t.Fatalf("%d answers, %.1f allocations a batch; may be 3", n, allocs)
	}
}

// nextBatch fills b with a message to each of so many users, and gives the id after.
func nextBatch(b *hop.Forward, frame []byte, size int, id uint64) (uint64, []byte) {
	b.Reset()
	for i := range size {
		id++
		frame = protocol.Send{Target: to(2 + uint64(i)), ClientID: id, Content: protocol.ContentText}.AppendFrame(frame[:0], uint32(id))
		b.Add(1, 1, 1, frame)
	}
	return id, frame
}

// messagePath is everything between two gateways: logic, the store on the disk, and
// transfer, with every receiver connected.
func messagePath(t testing.TB, size int) (forward, wait func()) {
	queue, devices := queues.NewQueue(1), directory.NewMemory()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	store, err := embedded.Open(t.TempDir(), embedded.Options{Queues: 1, Publish: queue.Put, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	gateways := &takesAll{}
	pusher := transfer.Start(transfer.Config{Queue: queue, Directory: devices, Gateways: gateways, Queues: []int{0}, Log: log})
	t.Cleanup(pusher.Stop)
	for i := range uint64(size) {
		bind := directory.Bind{User: 2 + i, Device: 1, Number: 1, At: hop.Address{Gateway: 7, Conn: 1 + i}}
		if _, err := devices.Bind(t.Context(), []directory.Bind{bind}, nil); err != nil {
			t.Fatal(err)
		}
	}
	s := logic.New(logic.Config{
		Log: store, History: store, Inbox: store, Social: logic.Direct{}, Receipts: pusher, Directory: devices, Gateways: &taker{},
		Queues: 1, Server: server, Logger: log,
	})
	b, frame, id := &hop.Forward{Gateway: 9}, []byte(nil), uint64(0)
	carry := func() {
		id, frame = nextBatch(b, frame, size, id)
		answers, err := s.Forward(context.Background(), b)
		if err != nil || answers.Len() != size {
			t.Fatalf("%d answers, %v", answers.Len(), err)
		}
	}
	pushed := func() { // waits until everything so far is
		deadline := time.Now().Add(time.Minute)
		for gateways.frames.Load() != id {
			if time.Now().After(deadline) {
				t.Fatalf("%d messages were pushed of %d", gateways.frames.Load(), id)
			}
			runtime.Gosched()
		}
	}
	carry()
	pushed() // transfer follows the queue
	return carry, pushed
}

// takesAll is a gateway that takes every push at once.
type takesAll struct{ frames atomic.Uint64 }

func (g *takesAll) Push(_ context.Context, _ uint64, pushes []*hop.Push, done func(absent []uint64, err error)) {
	for _, push := range pushes {
		g.frames.Add(uint64(push.Len()))
	}
	done(nil, nil)
}

// Everything that logic and transfer do for a batch of 32 messages, the store on the
// disk included.
func TestMessagePathAllocations(t *testing.T) {
	const size, most = 32, 16
	forward, wait := messagePath(t, size)
	allocs := testing.AllocsPerRun(200, forward)
	wait()
	if allocs > most {
		t.Fatalf("%.1f allocations a batch of %d messages; may be %d", allocs, size, most)
	}
	t.Logf("%.1f allocations for a batch of %d messages", allocs, size)
}

func BenchmarkForward(b *testing.B) {
	const size = 32
	s, _ := newService(func(*logic.Config) {})
	batch := mixedBatch(size)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Forward(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "requests/s")
}
