//go:build !race

// The race detector makes sync.Pool forget at random, so allocations are counted
// without it.

package transfer_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"

	"gannet/internal/directory"
	"gannet/internal/hop"
	"gannet/transfer"
	"gannet/transfer/embedded"
)

// taking is a gateway that takes everything at once, at no cost.
type taking struct {
	frames atomic.Uint64
	direct atomic.Bool // a push came in a call of Put by busy
}

// ofBusy is the key of a value in the context of such a call.
type ofBusy struct{}

func (g *taking) Push(ctx context.Context, _ uint64, pushes []*hop.Push, done func(absent []uint64, err error)) {
	if ctx.Value(ofBusy{}) != nil {
		g.direct.Store(true)
	}
	for _, push := range pushes {
		g.frames.Add(uint64(push.Len()))
	}
	done(nil, nil)
}

// busy has a followed queue, and a record of a batch of messages to as many users,
// all of them connected.
func busy(tb testing.TB, size int) (*taking, *embedded.Queue, *hop.Record, *transfer.Server) {
	devices, gateway, q := directory.NewMemory(), &taking{}, embedded.NewQueue(1)
	var entries []entry
	for i := range uint64(size) {
		bind := directory.Bind{User: 2 + i, Device: 1, Number: 1 + i, At: hop.Address{Gateway: 7 + i%2, Conn: 1 + i}}
		if _, err := devices.Bind(tb.Context(), []directory.Bind{bind}, nil); err != nil {
			tb.Fatal(err)
		}
		entries = append(entries, message(1, 1, 2+i, "hello, this is a message of some length"))
	}
	server := transfer.Start(transfer.Config{Queue: q, Directory: devices, Gateways: gateway, Queues: []int{0}})
	tb.Cleanup(server.Stop)
	r := record(0, 1, entries...)
	ctx := context.WithValue(tb.Context(), ofBusy{}, true)
	for n := uint64(1); !gateway.direct.Load(); n++ { // until Put itself hands over
		q.Put(ctx, r)
		for gateway.frames.Load() < n*uint64(size) {
			runtime.Gosched()
		}
	}
	return gateway, q, r, server
}

// What transfer does for a record of 32 messages to two gateways that answer at once:
// for each record its ticket and how it is done, for each gateway how it answers.
func TestRouteAllocations(t *testing.T) {
	const size, most = 32, 6
	gateway, q, r, _ := busy(t, size)
	before := gateway.frames.Load()
	allocs := testing.AllocsPerRun(200, func() { q.Put(context.Background(), r) })
	if frames := gateway.frames.Load() - before; frames != 201*size || allocs > most {
		t.Fatalf("%d frames went out; %.1f allocations a record of %d messages, may be %d", frames, allocs, size, most)
	}
	t.Logf("%.1f allocations for a record of %d messages", allocs, size)
}

// Receipts of a batch allocate less still: nobody waits for them.
func TestReceiptsAllocations(t *testing.T) {
	const size, most = 32, 4
	gateway, _, _, server := busy(t, size)
	var entries []entry
	for i := range uint64(size) {
		entries = append(entries, receipt(1, 1, 2+i))
	}
	r := record(0, 0, entries...)
	before := gateway.frames.Load()
	allocs := testing.AllocsPerRun(200, func() {
		if err := server.Receipts(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	})
	if frames := gateway.frames.Load() - before; frames != 201*size || allocs > most {
		t.Fatalf("%d frames went out; %.1f allocations for %d receipts, may be %d", frames, allocs, size, most)
	}
}

func BenchmarkRoute(b *testing.B) {
	const size = 32
	_, q, r, _ := busy(b, size)
	b.ReportAllocs()
	for b.Loop() {
		q.Put(context.Background(), r)
	}
	b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "messages/s")
}
