package ledger_test

import (
	"context"
	"testing"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/logic/ledger"
)

const (
	benchTalks = 500
	benchBatch = 32
)

// load is batches of 32 messages that go round 500 conversations, and perhaps the
// acks of those who get them.
type load struct {
	ledger *ledger.Ledger
	batch  logic.Batch
	input  ledger.Input
	record hop.Record
	round  uint64
	acks   bool
}

func newLoad(tb testing.TB, acks bool) *load {
	l := &load{acks: acks, ledger: ledger.New(ledger.Options{Queues: 1, Conversations: 4 * benchTalks, ClientIDs: 1 << 20, Checkpoint: 64}, newStore(64))}
	for range benchBatch {
		addMessage(&l.batch, ann.in(pair), 1, false)
	}
	if acks {
		l.batch.Entries = append(l.batch.Entries, make([]logic.Entry, benchBatch)...)
	}
	l.input = ledger.Input{Batches: []*logic.Batch{&l.batch}, Now: 1_700_000_000_000}
	for range 2 * benchTalks { // everything is in memory from here on
		l.do(tb)
	}
	return l
}

// do works one batch out and settles it.
func (l *load) do(tb testing.TB) {
	for i := range benchBatch {
		at := l.round*benchBatch + uint64(i)
		k := pair
		k.B += at % benchTalks
		e := &l.batch.Entries[i]
		e.Conversation, e.ClientID = k, at+1
		if l.acks {
			l.batch.Entries[benchBatch+i] = logic.Entry{Op: hop.OpAck, Conversation: k, User: k.B, Device: 1, Seq: 1 << 60}
		}
	}
	l.round++
	l.input.Stamp, l.input.Now = l.round, l.input.Now+1
	change, err := l.ledger.Apply(context.Background(), l.input)
	if err != nil || len(change.Messages) != benchBatch {
		tb.Fatalf("%d messages, error %v", len(change.Messages), err)
	}
	l.ledger.Record(l.input.Batches, &l.record)
	l.ledger.Settle()
}

// BenchmarkApply is for one batch of 32 messages, settled.
func BenchmarkApply(b *testing.B) {
	for _, acks := range []bool{false, true} {
		name := "messages"
		if acks {
			name = "messages and acks"
		}
		b.Run(name, func(b *testing.B) {
			l := newLoad(b, acks)
			b.ReportAllocs()
			for b.Loop() {
				l.do(b)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchBatch), "ns/message")
		})
	}
}

// TestApplyAllocatesNothing guards what the ledger has of the budget of the message
// path: with its conversations in memory a batch costs no object.
func TestApplyAllocatesNothing(t *testing.T) {
	for _, acks := range []bool{false, true} {
		l := newLoad(t, acks)
		if n := testing.AllocsPerRun(1000, func() { l.do(t) }); n > 0 {
			t.Errorf("a batch of %d messages (acks: %v) costs %v objects", benchBatch, acks, n)
		}
	}
}
