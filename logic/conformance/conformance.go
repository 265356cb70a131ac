// Package conformance holds every adapter of logic's ports to the guarantees that
// logic/ports.go states. An adapter's tests call Log, History, Inbox and Social,
// each with a way to open fresh adapters.
//
//	log.go      seqs and times; retry.go: repeats
//	queue.go    calls that wait for a queue, and failures of one
//	record.go   what goes onward
//	ack.go      how far devices have acked; read.go: read cursors
//	inbox.go    pages of conversations; since.go: what changed; unread.go: counts
//	history.go  pages of messages
//	social.go   rights
//
// Gateways and Receipts, which lead to other roles and to no store, have suites of their
// own: kick.go and receipt.go.
package conformance

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/protocol"
)

// Stores is a set of adapters over one store.
type Stores struct {
	Log     logic.Log
	History logic.History
	Inbox   logic.Inbox
	Social  logic.Social
	Queues  int

	// Reopen stops this set in good order and gives a new one over the same store.
	Reopen func() Stores

	// Survivor gives a set over what is left if the process of this one dies now and
	// nothing that can be lost is kept. This one goes on as if nothing had happened.
	Survivor func() Stores

	// Hold makes the next record of a queue that has a message stand still on its way
	// until release is called; held is closed when it stands.
	Hold func(queue int) (held <-chan struct{}, release func())
}

// Setup is what a set of adapters works with.
type Setup struct {
	Now func() time.Time // moves when a test moves it, also backward

	// Publish is to be called for each record that has frames, one at a time and in
	// order for each queue, before Apply returns. The record is not kept.
	Publish func(record *hop.Record)
}

// Open gives adapters over an empty store. It releases them when the test ends.
type Open func(t *testing.T, setup Setup) Stores

// patience bounds every wait.
const patience = time.Minute

// world is what a test works with: a store, a clock that the test moves, and what
// was published.
type world struct {
	t *testing.T
	Stores
	clock atomic.Int64 // Unix milliseconds

	mu      sync.Mutex
	records map[int][]*hop.Record // by queue, as they arrive after their encoding
}

const startTime = 1_700_000_000_000

func newWorld(t *testing.T, open Open) *world {
	t.Helper()
	w := &world{t: t, records: make(map[int][]*hop.Record)}
	w.clock.Store(startTime)
	w.Stores = open(t, Setup{Now: func() time.Time { return time.UnixMilli(w.clock.Load()) }, Publish: w.publish})
	return w
}

func (w *world) reopen() { w.Stores = w.Stores.Reopen() }

// survivor gives a world over what a crash leaves. Its clock stands.
func (w *world) survivor() *world {
	w.t.Helper()
	return &world{t: w.t, Stores: w.Stores.Survivor()}
}

// eventually waits for a condition.
func (w *world) eventually(what string, condition func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("in vain waited for this: %s", what)
		}
	}
}

// within waits for a channel to be closed.
func (w *world) within(what string, c <-chan struct{}) {
	w.t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		w.t.Fatalf("in vain waited for this: %s", what)
	}
}

// run is one story of a suite.
type run struct {
	name  string
	story func(*world)
}

func runAll(t *testing.T, open Open, stories ...[]run) {
	for _, s := range slices.Concat(stories...) {
		t.Run(s.name, func(t *testing.T) {
			w := newWorld(t, open)
			s.story(w)
			w.checkRecords()
		})
	}
}

// direct is the conversation of two users.
func direct(a, b uint64) protocol.Conversation { return to(b).Conversation(a) }

// to is the target under which others address the user.
func to(user uint64) protocol.Target { return protocol.Target{Kind: protocol.KindDirect, ID: user} }

// system is the conversation in which the server speaks to the user.
func system(user uint64) protocol.Conversation {
	return protocol.Conversation{Kind: protocol.KindSystem, A: user}
}

func (w *world) queue(c protocol.Conversation) int { return c.Partition() % w.Queues }

// neighbours gives n peers whose conversations with user 1 are of one partition, so
// that they lie next to each other in any store and share a queue.
func neighbours(n int) (peers []uint64) {
	want := direct(1, 2).Partition()
	for peer := uint64(2); len(peers) < n; peer++ {
		if direct(1, peer).Partition() == want {
			peers = append(peers, peer)
		}
	}
	return peers
}

// queuePeers gives for each queue a peer whose conversation with user 1 it has.
func (w *world) queuePeers() []uint64 {
	found := make(map[int]uint64)
	for peer := uint64(2); len(found) < w.Queues; peer++ {
		if q := w.queue(direct(1, peer)); found[q] == 0 {
			found[q] = peer
		}
	}
	peers := make([]uint64, w.Queues)
	for _, q := range slices.Sorted(maps.Keys(found)) {
		peers[q] = found[q]
	}
	return peers
}

// view is how a device of a user sees a conversation.
type view struct{ head, delivered, read, unread, acked uint64 }

// state gives a conversation as the device sees it.
func (w *world) state(user, device uint64, target protocol.Target) (protocol.State, bool) {
	w.t.Helper()
	for _, s := range w.all(logic.InboxQuery{User: user, Device: device}).States {
		if s.Target == target {
			return s, true
		}
	}
	return protocol.State{}, false
}

// view gives the conversation with peer as the device sees it.
func (w *world) view(user, device, peer uint64) view {
	w.t.Helper()
	s, _ := w.state(user, device, to(peer))
	return view{s.Head, s.Delivered, s.Read, s.Unread, s.Acked}
}

// want checks how the device sees the conversation with peer, and that the peer
// sees the same cursors.
func (w *world) want(user, device, peer uint64, want view) {
	w.t.Helper()
	if got := w.view(user, device, peer); got != want {
		w.t.Fatalf("device %d of user %d sees %+v, want %+v", device, user, got, want)
	}
	other, _ := w.state(peer, 99, to(user))
	if other.PeerDelivered != want.delivered || other.PeerRead != want.read {
		w.t.Fatalf("user %d sees the peer at delivered %d, read %d; want %d, %d", peer, other.PeerDelivered, other.PeerRead, want.delivered, want.read)
	}
}

// page asks for one page of an inbox; limit and room are large where none is
// given.
func (w *world) page(q logic.InboxQuery) logic.InboxPage {
	w.t.Helper()
	if q.Limit == 0 {
		q.Limit = protocol.MaxPage
	}
	if q.Room == 0 {
		q.Room = protocol.MaxFrame
	}
	page, err := w.Inbox.Changed(w.t.Context(), q)
	if err != nil {
		w.t.Fatalf("Changed: %v", err)
	}
	if len(page.States) > q.Limit {
		w.t.Fatalf("%d conversations in a page of at most %d", len(page.States), q.Limit)
	}
	return page
}

// all goes through all pages of an inbox and gives them as one.
func (w *world) all(q logic.InboxQuery) logic.InboxPage {
	w.t.Helper()
	whole := w.page(q)
	for page := whole; page.More; {
		if page.After == q.After {
			w.t.Fatalf("a page goes no further than %+v and says that more follow", page.After)
		}
		q.After = page.After
		page = w.page(q)
		whole.States = append(whole.States, page.States...)
	}
	return whole
}
