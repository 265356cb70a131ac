//go:build cluster

package history

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/internal/services/servicestest"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// BenchmarkInsert inserts a block as a node has it once a second: 50,000 messages of 128
// bytes in 500 conversations. It says what a message costs this process in CPU; a body is
// of 64 different bytes, as compressible as text.
func BenchmarkInsert(b *testing.B) {
	for name, compress := range map[string]bool{"none": false, "lz4": true} {
		b.Run(name, func(b *testing.B) {
			o := optionsAt(b, servicestest.ClickHouse(b))
			o.Compress = compress
			s := openStore(b, o)
			const messages, conversations = 50_000, 500
			x := benchBlock(b, messages, conversations)
			insert := func() {
				if err := s.insertRows(b.Context(), x); err != nil {
					b.Fatal(err)
				}
			}
			insert() // connects
			b.ReportAllocs()
			before := processTime(b)
			n := 0
			for b.Loop() {
				insert()
				n += messages
			}
			b.ReportMetric(float64((processTime(b)-before).Nanoseconds())/float64(n), "cpu-ns/message")
		})
	}
}

// benchBlock makes a block of messages, each conversation's in turn.
func benchBlock(b *testing.B, messages, conversations int) *block {
	rng := rand.New(rand.NewPCG(1, 2))
	x := newBlock()
	body := make([]byte, 128)
	for i := range messages {
		for k := range body {
			body[k] = byte(' ' + rng.IntN(64))
		}
		from := uint64(1 + 2*(i%conversations))
		m := protocol.Message{
			Target: protocol.Target{Kind: protocol.KindDirect, ID: from + 1}, Sender: from, Device: 1,
			ClientID: uint64(1 + i), Content: protocol.ContentText, Body: body,
			Seq: uint64(1 + i/conversations), Time: uint64(1_700_000_000_000 + i),
		}
		key := m.Conversation()
		frame := m.AppendFrame(nil)
		change := &ledger.Change{
			Messages: []ledger.Message{{Seq: m.Seq, Count: m.Seq, Own: m.Seq, Payload: frame[protocol.HeaderSize:]}},
			Members:  []ledger.Member{{User: from, Total: m.Seq}},
			Devices:  []ledger.Device{{User: from, Device: 1, MaxID: m.ClientID, Last: m.Seq}},
			Conversations: []ledger.Changed{{
				Key: key, Before: ledger.Progress{Head: m.Seq - 1}, After: ledger.Progress{Head: m.Seq, Count: m.Seq, Time: m.Time},
				Messages: hop.Span{End: 1}, Members: hop.Span{End: 1}, Devices: hop.Span{End: 1},
			}},
		}
		if refused := x.add(&Fed{Queue: chain.Queue{Class: chain.Chat}, Version: uint64(1 + i), Change: change}); refused != 0 {
			b.Fatal(fmt.Errorf("message %d is refused", i))
		}
	}
	return x
}

// processTime is the CPU time of this process.
func processTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
