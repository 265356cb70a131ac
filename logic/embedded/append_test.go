package embedded

import (
	"context"
	"fmt"
	"testing"

	"gannet/logic"
	"gannet/protocol"
)

// BenchmarkAppend measures one lane on the disk: batches of messages of 128
// bytes from 1,000 users in pairs, each commit synced.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 32, 512} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			benchmarkAppend(b, size)
		})
	}
}

func benchmarkAppend(b *testing.B, size int) {
	const pairs = 500
	published := 0
	s, err := Open(b.TempDir(), Options{Lanes: 1, Publish: func(_ int, record []byte) { published += len(record) }})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	template := protocol.Message{Body: make([]byte, 128), Content: protocol.ContentText}
	frame := template.AppendFrame(nil)
	batch := logic.Batch{Record: make([]byte, 0, size*len(frame)), Entries: make([]logic.Entry, size)}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += size {
		batch.Record = batch.Record[:0]
		for j := range batch.Entries {
			n := uint64(i + j)
			from, to := 2*(n%pairs)+1, 2*(n%pairs)+2
			template.Target = protocol.Target{Kind: protocol.KindDirect, ID: to}
			template.Sender, template.Device, template.ClientID = from, 1, n+1
			start := len(batch.Record)
			batch.Record = template.AppendFrame(batch.Record)
			batch.Entries[j] = logic.Entry{
				Op: logic.OpMessage, Conversation: template.Conversation(), User: from, Device: 1, ClientID: n + 1,
				Start: start, End: len(batch.Record),
			}
		}
		if err := s.Append(context.Background(), 0, &batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	if published < b.N*len(frame) {
		b.Fatalf("%d bytes published for %d messages", published, b.N)
	}
}
