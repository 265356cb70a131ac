//go:build cluster

package history

import (
	"testing"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// rebuilt gives how many conversations a rebuilding of the first queue gives, in how many
// steps, and how many queries it takes.
func (n *node) rebuilt(which Rebuild) (conversations, steps int, queries uint64) {
	n.t.Helper()
	which.Queue, which.Queues = n.queues[0].name, len(n.queues)
	which.Kinds = []protocol.Kind{protocol.KindDirect, protocol.KindGroup}
	before := n.store.Vars()["queries"]
	done := 0
	err := n.store.Rebuild(n.t.Context(), which, func(list []Whole, p Progress) error {
		conversations += len(list)
		done, steps = p.Steps, p.Whole
		return nil
	})
	if err != nil {
		n.t.Fatal(err)
	}
	if done != steps {
		n.t.Errorf("at the end %d steps of %d are done", done, steps)
	}
	return conversations, steps, n.store.Vars()["queries"] - before
}

// TestSmallQueueIsOneStep: what a rebuilding asks of the server follows what there is and
// not how many partitions a queue has; an empty queue asks next to nothing.
func TestSmallQueueIsOneStep(t *testing.T) {
	n := clickHouseNode(t, 1)
	if got, steps, queries := n.rebuilt(Rebuild{}); got != 0 || steps != 0 || queries > 3 {
		t.Errorf("an empty queue gives %d conversations in %d steps, for %d queries", got, steps, queries)
	}
	const conversations = 84 // they are of many partitions
	for peer := uint64(2); peer < 2+conversations; peer++ {
		n.batch(1, 1, peer, peer, "x")
	}
	n.flush()
	if got, steps, queries := n.rebuilt(Rebuild{}); got != conversations || steps != 1 || queries > 8 {
		t.Errorf("%d conversations in %d steps, for %d queries; there are %d", got, steps, queries, conversations)
	}
	// Where the server may sort only a few rows at a time there are more steps, which give
	// the same.
	got, steps, _ := n.rebuilt(Rebuild{Rows: 40})
	if got != conversations || steps < 4 || steps > conversations {
		t.Errorf("%d conversations in %d steps of few rows", got, steps)
	}
}

// BenchmarkRebuild is one conversation of a queue with many.
func BenchmarkRebuild(b *testing.B) {
	n := clickHouseNode(b, 1)
	const conversations = 5_000
	fed := &Fed{Queue: n.queues[0].name, Prev: chain.Beginning, Mark: chain.Mark{Offset: 0, Writer: 7}, Version: 1, Record: new(hop.Record), Change: new(ledger.Change)}
	for peer := uint64(2); peer < 2+conversations; peer++ {
		key := direct(1, peer)
		m := protocol.Message{Target: key.Target(1), Sender: 1, Device: 1, ClientID: 1, Seq: 1, Time: 1, Content: protocol.ContentText, Body: []byte("a message of some length")}
		at := uint32(peer - 2)
		fed.Change.Messages = append(fed.Change.Messages, ledger.Message{Seq: 1, Count: 1, Own: 1, Payload: m.AppendPayload(nil)})
		fed.Change.Conversations = append(fed.Change.Conversations, ledger.Changed{
			Key: key, After: ledger.Progress{Head: 1, Time: 1, Count: 1}, Messages: hop.Span{Start: at, End: at + 1},
		})
	}
	if _, taken := n.feeder.Add(fed); !taken {
		b.Fatal("the record is not taken")
	}
	n.flush()
	b.ResetTimer()
	given := 0
	for given < b.N {
		got, _, _ := n.rebuilt(Rebuild{})
		given += got
	}
	b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(given), "µs/conversation")
}
