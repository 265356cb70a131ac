//go:build !race

// The race detector makes sync.Pool forget at random, so allocations are counted
// without it.

package embedded

import (
	"context"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/protocol"
)

// pairs makes batches of messages of 128 bytes from one user of each of some pairs,
// in turn.
type pairs struct {
	talks   uint64 // that take turns
	n       uint64
	message protocol.Message
	batch   logic.Batch
	batches [1]*logic.Batch
}

func newPairs(size int, talks uint64) *pairs {
	p := &pairs{talks: talks, message: protocol.Message{Body: make([]byte, 128), Content: protocol.ContentText, Device: 1}}
	p.batch.Entries = make([]logic.Entry, size)
	p.batch.Blob = make([]byte, 0, size*len(p.message.AppendFrame(nil)))
	p.batches[0] = &p.batch
	return p
}

// apply hands the next batch to queue 0.
func (p *pairs) apply(tb testing.TB, s *Store) {
	p.batch.Blob = p.batch.Blob[:0]
	for i := range p.batch.Entries {
		p.n++
		m := &p.message
		m.Sender, m.Target, m.ClientID = 2*(p.n%p.talks)+1, to(2*(p.n%p.talks)+2), p.n
		start := uint32(len(p.batch.Blob))
		p.batch.Blob = m.AppendFrame(p.batch.Blob)
		p.batch.Entries[i] = logic.Entry{
			Op: hop.OpMessage, Conversation: m.Conversation(), User: m.Sender, Device: 1, ClientID: p.n,
			Frame: hop.Span{Start: start, End: uint32(len(p.batch.Blob))},
		}
	}
	if err := s.Apply(tb.Context(), p.batches[:]); err != nil || p.batch.Err != nil {
		tb.Fatal(err, p.batch.Err)
	}
}

// TestApplyAllocations: what the store allocates for a batch does not grow with its
// messages, once their conversations and what they remember of their devices are in
// memory.
func TestApplyAllocations(t *testing.T) {
	for _, size := range []int{1, 32, 256} {
		published := 0
		s, err := Open("", Options{Queues: 1, FS: vfs.NewMem(), Publish: func(_ context.Context, r *hop.Record) { published += len(r.Entries) }})
		if err != nil {
			t.Fatal(err)
		}
		p := newPairs(size, 20)
		for p.n < 20*300 {
			p.apply(t, s)
		}
		allocs := testing.AllocsPerRun(200, func() { p.apply(t, s) })
		if most := 6.0; allocs > most {
			t.Errorf("%.1f allocations for a batch of %d messages, may be %.0f", allocs, size, most)
		}
		t.Logf("%.1f allocations for a batch of %d messages", allocs, size)
		if published < int(p.n) {
			t.Errorf("%d entries published for %d messages", published, p.n)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// BenchmarkApply measures one queue on the disk, each commit synced.
func BenchmarkApply(b *testing.B) {
	for _, size := range []int{1, 32, 512} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			s, err := Open(b.TempDir(), Options{Queues: 1, Publish: func(context.Context, *hop.Record) {}})
			if err != nil {
				b.Fatal(err)
			}
			p := newPairs(size, 500)
			b.ReportAllocs()
			for b.Loop() {
				p.apply(b, s)
			}
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "messages/s")
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			if p.n < uint64(b.N*size) {
				b.Fatalf("%d messages for %d batches of %d", p.n, b.N, size)
			}
		})
	}
}
