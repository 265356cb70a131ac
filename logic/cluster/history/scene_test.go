//go:build cluster

package history

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/internal/services/servicestest"
	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// patience bounds every wait.
const patience = time.Minute

// eventually waits for a condition.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain waited for this: %s", what)
		}
	}
}

// optionsAt gives options for a database of the test's own, which is removed at its end.
func optionsAt(t testing.TB, address string) Options {
	t.Helper()
	o := Options{
		Addresses: []string{address}, Database: "test_" + strings.ToLower(rand.Text()),
		Timeout: 20 * time.Second, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	t.Cleanup(func() {
		conn, err := o.connect("default")
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if err := conn.Exec(context.Background(), "DROP DATABASE IF EXISTS "+o.Database); err != nil {
			t.Error(err)
		}
	})
	return o
}

func openStore(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	s.conn = recorded(t, s.conn, o.Database)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// node owns all queues of a class: a Log of the real ledger whose queue is a list in
// memory, which a Feeder takes to ClickHouse.
type node struct {
	t       testing.TB
	store   *Store
	feeder  *Feeder
	reader  *Reader
	now     func() time.Time
	publish func(*hop.Record)
	queues  []*ownQueue
	keep    int // messages of a conversation that stay in memory when they are inserted

	stamp atomic.Uint64
}

type ownQueue struct {
	name   chain.Queue
	line   ledger.Line
	ledger *ledger.Ledger

	mu      sync.Mutex
	records []*Fed // the queue, as it is stored; its offsets are the indexes
	recent  map[protocol.Conversation]*Recent
	at      map[protocol.Conversation][]int64 // the offsets of the messages of recent
}

const manual = time.Hour // the Feeder inserts when the test says so

func newNode(t testing.TB, store *Store, queues int, options FeederOptions, earlier *node) *node {
	t.Helper()
	n := &node{t: t, store: store, now: time.Now, feeder: NewFeeder(store, options), publish: func(*hop.Record) {}}
	t.Cleanup(func() { _ = n.feeder.Stop(context.Background()) }) // the server may be gone by then
	n.reader = NewReader(store, n)
	n.stamp.Store(1)
	for i := range queues {
		q := &ownQueue{name: chain.Queue{Class: chain.Chat, Number: i}, recent: make(map[protocol.Conversation]*Recent), at: make(map[protocol.Conversation][]int64)}
		if earlier != nil {
			q.records = earlier.queues[i].records
			n.stamp.Store(earlier.stamp.Load())
		}
		q.ledger = ledger.New(ledger.Options{Queue: i, Queues: queues, Conversations: 1 << 16, ClientIDs: 1 << 16, Checkpoint: 1}, n.reader)
		if _, err := n.feeder.Open(t.Context(), q.name); err != nil {
			t.Fatal(err)
		}
		n.queues = append(n.queues, q)
	}
	return n
}

func (n *node) queueOf(c protocol.Conversation) *ownQueue {
	return n.queues[c.Partition()%len(n.queues)]
}

// Apply implements logic.Log.
func (n *node) Apply(ctx context.Context, batches []*logic.Batch) error {
	for _, b := range batches {
		q := n.queues[b.Queue]
		if err := q.line.Do(ctx, b, func(all []*logic.Batch) { n.write(ctx, q, all) }); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) write(ctx context.Context, q *ownQueue, batches []*logic.Batch) {
	change, err := q.ledger.Apply(ctx, ledger.Input{Batches: batches, Stamp: n.stamp.Add(1), Now: uint64(n.now().UnixMilli()), Acks: true})
	if err != nil {
		for _, b := range batches {
			b.Err = err
		}
		return
	}
	if change.Empty() {
		q.ledger.Settle()
		return
	}
	record := new(hop.Record)
	q.ledger.Record(batches, record)
	q.mu.Lock()
	fed := &Fed{Queue: q.name, Prev: chain.Beginning, Mark: chain.Mark{Offset: int64(len(q.records)), Writer: 7}, Version: uint64(len(q.records)) + 1, Record: record, Change: copied(change)}
	if len(q.records) > 0 {
		fed.Prev = q.records[len(q.records)-1].Mark
	}
	record.Mark = fed.Version
	q.records = append(q.records, fed)
	for i := range fed.Change.Conversations {
		q.remember(fed, &fed.Change.Conversations[i])
	}
	q.mu.Unlock()
	n.feeder.Add(fed)
	q.ledger.Settle()
	n.publish(record)
}

func (q *ownQueue) remember(fed *Fed, c *ledger.Changed) {
	r := q.recent[c.Key]
	if r == nil {
		r = &Recent{Head: c.Before.Head, First: c.Before.Head + 1, Before: c.Before.Head}
		q.recent[c.Key] = r
	}
	for _, m := range fed.Change.Messages[c.Messages.Start:c.Messages.End] {
		if len(r.Messages) == 0 {
			r.First, r.Before = m.Seq, r.Head
		}
		r.Messages = append(r.Messages, Kept{Seq: m.Seq, Previous: m.Previous, Linked: true, N: m.Count, Own: m.Own, Payload: m.Payload})
		q.at[c.Key] = append(q.at[c.Key], fed.Mark.Offset)
		r.Head = m.Seq
	}
}

// copied gives a change that outlives Settle.
func copied(c *ledger.Change) *ledger.Change {
	d := *c
	d.Conversations, d.Messages = slices.Clone(c.Conversations), slices.Clone(c.Messages)
	d.Members, d.Devices, d.Gone = slices.Clone(c.Members), slices.Clone(c.Devices), slices.Clone(c.Gone)
	for i := range d.Messages {
		d.Messages[i].Payload = slices.Clone(d.Messages[i].Payload)
	}
	return &d
}

// Recent implements Tail.
func (n *node) Recent(ctx context.Context, c protocol.Conversation, from, to uint64) (Recent, error) {
	q := n.queueOf(c)
	q.mu.Lock()
	if r := q.recent[c]; r != nil {
		defer q.mu.Unlock()
		found := *r
		found.Messages = nil
		for _, m := range r.Messages {
			if m.Seq >= from && m.Seq <= to {
				found.Messages = append(found.Messages, m)
			}
		}
		return found, nil
	}
	q.mu.Unlock()
	var found Recent
	err := q.ledger.View(ctx, c, func(v ledger.View) { found.Head = v.Head })
	found.First, found.Before = found.Head+1, found.Head
	return found, err
}

// flush inserts everything and forgets what need not stay in memory.
func (n *node) flush() {
	n.t.Helper()
	if err := n.feeder.Flush(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
	n.forget()
}

// forget forgets what is inserted, but for some messages of each conversation.
func (n *node) forget() {
	for _, q := range n.queues {
		inserted, _ := n.feeder.Inserted(q.name)
		q.mu.Lock()
		for c, r := range q.recent {
			for len(r.Messages) > n.keep && q.at[c][0] <= inserted.Offset {
				r.Before = r.Messages[0].Seq
				r.Messages, q.at[c] = r.Messages[1:], q.at[c][1:]
				if r.First = r.Head + 1; len(r.Messages) > 0 {
					r.First = r.Messages[0].Seq
				}
			}
		}
		q.mu.Unlock()
	}
}

// catchUp feeds what the Feeder did not take, from the queue.
func (n *node) catchUp() {
	n.t.Helper()
	if !n.feedMore() {
		n.t.Fatal("records of the queue are not taken")
	}
}

// feedMore is catchUp as far as there is room.
func (n *node) feedMore() (whole bool) {
	for _, q := range n.queues {
		at, _ := n.feeder.Taken(q.name)
		q.mu.Lock()
		for _, fed := range q.records[at.Offset+1:] {
			if _, taken := n.feeder.Add(fed); !taken {
				q.mu.Unlock()
				return false
			}
		}
		q.mu.Unlock()
	}
	return true
}

// send applies messages of one device to a conversation, each a record of its own, and
// gives how they came out.
func (n *node) send(user, device, to uint64, firstID uint64, bodies ...string) (sent []logic.Entry) {
	n.t.Helper()
	for i, body := range bodies {
		sent = append(sent, n.batch(user, device, to, firstID+uint64(i), body)...)
	}
	return sent
}

// message gives messages of one device to a user as a batch.
func (n *node) message(user, device, to uint64, firstID uint64, bodies ...string) *logic.Batch {
	target := protocol.Target{Kind: protocol.KindDirect, ID: to}
	c := target.Conversation(user)
	b := &logic.Batch{Queue: c.Partition() % len(n.queues)}
	for i, body := range bodies {
		id := firstID + uint64(i)
		start := uint32(len(b.Blob))
		b.Blob = protocol.Message{Target: target, Sender: user, Device: device, ClientID: id, Content: protocol.ContentText, Body: []byte(body)}.AppendFrame(b.Blob)
		b.Entries = append(b.Entries, logic.Entry{Op: hop.OpMessage, Conversation: c, User: user, Device: device, ClientID: id, Frame: hop.Span{Start: start, End: uint32(len(b.Blob))}})
	}
	return b
}

// batch applies messages as one record.
func (n *node) batch(user, device, to uint64, firstID uint64, bodies ...string) []logic.Entry {
	n.t.Helper()
	b := n.message(user, device, to, firstID, bodies...)
	if err := n.Apply(n.t.Context(), []*logic.Batch{b}); err != nil || b.Err != nil {
		n.t.Fatalf("Apply: %v, %v", err, b.Err)
	}
	for _, e := range b.Entries {
		if e.Outcome != logic.Applied {
			n.t.Fatalf("a message came out as %+v", e)
		}
	}
	return b.Entries
}

// read sets the read cursor of a user in the conversation with a peer.
func (n *node) read(user, peer, seq uint64) {
	n.t.Helper()
	c := direct(user, peer)
	b := &logic.Batch{Queue: c.Partition() % len(n.queues), Entries: []logic.Entry{{Op: hop.OpRead, Conversation: c, User: user, Device: 1, Seq: seq}}}
	if err := n.Apply(n.t.Context(), []*logic.Batch{b}); err != nil || b.Entries[0].Outcome != logic.Applied {
		n.t.Fatalf("READ: %v, %+v", err, b.Entries[0])
	}
}

func direct(a, b uint64) protocol.Conversation {
	return protocol.Target{Kind: protocol.KindDirect, ID: b}.Conversation(a)
}

func repeat(n int, body string) (bodies []string) {
	for range n {
		bodies = append(bodies, body)
	}
	return bodies
}

// page reads a page that may have an error.
func (n *node) page(p logic.Page) *logic.Page {
	n.t.Helper()
	if p.Limit == 0 {
		p.Limit = protocol.MaxPage
	}
	if p.Room == 0 {
		p.Room = 1 << 30
	}
	if err := n.reader.Pages(n.t.Context(), []*logic.Page{&p}); err != nil {
		n.t.Fatal(err)
	}
	return &p
}

// want checks from which to which seq a page is complete and how many messages it has.
func (n *node) want(p logic.Page, first, last uint64, count int) *logic.Page {
	n.t.Helper()
	got := n.page(p)
	if got.Err != nil || got.First != first || got.Last != last || got.Count != count {
		n.t.Fatalf("the page %+v is %d to %d with %d messages, %v; want %d to %d with %d", p, got.First, got.Last, got.Count, got.Err, first, last, count)
	}
	return got
}

func clickHouseNode(t testing.TB, queues int) *node {
	t.Helper()
	return newNode(t, openStore(t, optionsAt(t, servicestest.ClickHouse(t))), queues, FeederOptions{Every: manual}, nil)
}
