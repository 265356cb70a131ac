// Package conformance holds every adapter of logic's ports to the guarantees that
// logic/ports.go states. An adapter's tests call Log, History, Inbox and Cursors.
package conformance

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"gannet/logic"
	"gannet/protocol"
)

// Stores is a set of adapters over one store.
type Stores struct {
	Log     logic.Log
	History logic.History
	Inbox   logic.Inbox
	Cursors logic.Cursors
	Lanes   int

	// Records gives what was published for the lane so far, in order, by this and
	// every earlier set over the same store.
	Records func(lane int) [][]byte

	// Reopen gives a new set over the same store, as after a restart. This one is
	// not used any more.
	Reopen func() Stores
}

// Open gives adapters over an empty store, whose clock is now. It releases them
// when the test ends.
type Open func(t *testing.T, now func() time.Time) Stores

// world is what a test works with: a store and a clock that the test moves.
type world struct {
	t *testing.T
	Stores
	clock *atomic.Int64 // Unix milliseconds
}

const startTime = 1_700_000_000_000

func newWorld(t *testing.T, open Open) *world {
	t.Helper()
	clock := new(atomic.Int64)
	clock.Store(startTime)
	return &world{t: t, clock: clock, Stores: open(t, func() time.Time { return time.UnixMilli(clock.Load()) })}
}

func (w *world) reopen() { w.Stores = w.Stores.Reopen() }

// run is one story of a suite.
type run struct {
	name  string
	story func(*world)
}

func runAll(t *testing.T, open Open, stories []run) {
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) { s.story(newWorld(t, open)) })
	}
}

// direct is the conversation of two users.
func direct(a, b uint64) protocol.Conversation { return to(b).Conversation(a) }

// to is the target under which others address the user.
func to(user uint64) protocol.Target { return protocol.Target{Kind: protocol.KindDirect, ID: user} }

func (w *world) lane(c protocol.Conversation) int { return c.Partition() % w.Lanes }

// neighbours gives n conversations of one partition whose first user is 1, so
// that they lie next to each other in any store.
func neighbours(n int) (peers []uint64) {
	want := direct(1, 2).Partition()
	for peer := uint64(2); len(peers) < n; peer++ {
		if direct(1, peer).Partition() == want {
			peers = append(peers, peer)
		}
	}
	return peers
}

// batch builds a logic.Batch.
type batch struct{ logic.Batch }

// send adds a message of a user's device to another user.
func (b *batch) send(user, device, peer, id uint64, body string) *batch {
	start := len(b.Record)
	m := protocol.Message{Target: to(peer), Sender: user, Device: device, ClientID: id, Content: protocol.ContentText, Body: []byte(body)}
	b.Record = m.AppendFrame(b.Record)
	b.Entries = append(b.Entries, logic.Entry{
		Op: logic.OpMessage, Conversation: m.Conversation(), User: user, Device: device, ClientID: id,
		Start: start, End: len(b.Record),
	})
	return b
}

// cursor adds a move of a user's cursors in the conversation with peer.
func (b *batch) cursor(user, device, peer, delivered, read uint64) *batch {
	start := len(b.Record)
	r := protocol.Receipt{Target: to(peer), User: user, Device: device}
	b.Record = r.AppendFrame(b.Record)
	b.Entries = append(b.Entries, logic.Entry{
		Op: logic.OpCursor, Conversation: r.Conversation(), User: user, Device: device, Delivered: delivered, Read: read,
		Start: start, End: len(b.Record),
	})
	return b
}

// append hands the batch to the lane of its first entry and gives the results.
func (w *world) append(b *batch) []logic.Entry {
	w.t.Helper()
	if err := w.Log.Append(context.Background(), w.lane(b.Entries[0].Conversation), &b.Batch); err != nil {
		w.t.Fatalf("Append: %v", err)
	}
	return b.Entries
}

// send appends one message alone.
func (w *world) send(user, device, peer, id uint64) logic.Entry {
	w.t.Helper()
	return w.append(new(batch).send(user, device, peer, id, "hello"))[0]
}

// move appends one cursor entry alone.
func (w *world) move(user, peer, delivered, read uint64) logic.Entry {
	w.t.Helper()
	return w.append(new(batch).cursor(user, 1, peer, delivered, read))[0]
}

// wantNew checks that a message was accepted under the seq.
func (w *world) wantNew(e logic.Entry, seq uint64) {
	w.t.Helper()
	if e.Outcome != logic.Applied || e.Seq != seq {
		w.t.Fatalf("client id %d: outcome %d, seq %d; want it accepted as seq %d", e.ClientID, e.Outcome, e.Seq, seq)
	}
}

// wantRepeated checks that a message was recognised as the first one.
func (w *world) wantRepeated(e, first logic.Entry) {
	w.t.Helper()
	if e.Outcome != logic.Repeated || e.Seq != first.Seq || e.Time != first.Time {
		w.t.Fatalf("client id %d: outcome %d, seq %d, time %d; want repeated, seq %d, time %d",
			e.ClientID, e.Outcome, e.Seq, e.Time, first.Seq, first.Time)
	}
}

// position gives the cursors of one user.
func (w *world) position(user, peer uint64) logic.Position {
	w.t.Helper()
	p, err := w.Cursors.Positions(context.Background(), direct(user, peer), []uint64{user}, nil)
	if err != nil || len(p) != 1 {
		w.t.Fatalf("Positions: %v, %v", p, err)
	}
	return p[0]
}

// read gives the messages of a range.
func (w *world) read(c protocol.Conversation, first, last uint64, descending bool) (found []protocol.Message) {
	w.t.Helper()
	err := w.History.Read(context.Background(), c, first, last, descending, func(seq uint64, message []byte) bool {
		var m protocol.Message
		if err := m.Decode(message); err != nil {
			w.t.Fatalf("seq %d: %v", seq, err)
		}
		if m.Seq != seq {
			w.t.Fatalf("seq %d holds a message with seq %d", seq, m.Seq)
		}
		m.Body = append([]byte(nil), m.Body...)
		found = append(found, m)
		return true
	})
	if err != nil {
		w.t.Fatalf("Read: %v", err)
	}
	return found
}

// wantSeqs checks which seqs the messages have.
func (w *world) wantSeqs(found []protocol.Message, want ...uint64) {
	w.t.Helper()
	if len(found) != len(want) {
		w.t.Fatalf("%d messages, want %d", len(found), len(want))
	}
	for i, m := range found {
		if m.Seq != want[i] {
			w.t.Fatalf("message %d has seq %d, want %d", i, m.Seq, want[i])
		}
	}
}

func (w *world) wantHead(c protocol.Conversation, want uint64) {
	w.t.Helper()
	if head, err := w.History.Head(context.Background(), c); err != nil || head != want {
		w.t.Fatalf("the head is %d, %v; want %d", head, err, want)
	}
}
