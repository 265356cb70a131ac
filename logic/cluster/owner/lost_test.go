//go:build cluster

package owner_test

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"

	"gannet/internal/chain"
	"gannet/internal/chain/chaintest"
	"gannet/internal/hop"
	"gannet/internal/registry"
	"gannet/internal/services/servicestest"
	"gannet/logic"
	"gannet/logic/cluster/owner"
	"gannet/protocol"
)

// losing is one node over a Redis of its own that loses things, with users 100 to 107 who
// talk in pairs.
type losing struct {
	*world
	node   *node
	memory *chaintest.Memory
	server *servicestest.PrivateRedis
	list   []*sender
}

func newLosing(t *testing.T, args ...string) *losing {
	return newLosingWith(t, func(*losing) {}, args...)
}

// newLosingWith lets the caller change the world before the node starts.
func newLosingWith(t *testing.T, change func(*losing), args ...string) *losing {
	server := servicestest.OwnRedis(t, args...)
	m := chaintest.NewMemory()
	l := &losing{server: server, memory: m, list: senders(t, rand.Uint64(), 4)}
	l.world = &world{t: t, addresses: []string{server.Address}, name: "losing", queues: 2, stream: m, registry: registry.NewMemory(), archive: newArchive()}
	change(l)
	l.node = l.start(1)
	l.node.waitOwned()
	return l
}

// newTalked is newLosing after some talk, with the acks that wait written.
func newTalked(t *testing.T, args ...string) *losing {
	t.Helper()
	l := newLosing(t, args...)
	l.talk()
	l.flush()
	return l
}

// talkUnfed has everybody talk while the history is away.
func (l *losing) talkUnfed() {
	l.t.Helper()
	l.archive.left.Store(0)
	l.talk()
	l.flush()
}

// older ends the node and has Redis come back without the last talk, which the history and the
// queue have. It gives what readers were shown after it.
func (l *losing) older() (before [][]protocol.State) {
	l.t.Helper()
	must(l.t, l.node.redis.Save(l.t.Context()).Err())
	l.talk()
	l.flush()
	before = l.shown()
	l.waitFed()
	l.node.stop()
	l.server.Kill()
	l.server.Start()
	return before
}

// talk has everybody send some messages, read and ack some.
func (l *losing) talk() {
	l.t.Helper()
	nodes := func() []*node { return []*node{l.node} }
	for _, s := range l.list {
		s.run(nodes, 5)
		for _, e := range []logic.Entry{
			{Op: hop.OpRead, Conversation: s.key(), User: s.from, Device: 1, Seq: 3},
			{Op: hop.OpAck, Conversation: s.key(), User: s.from, Device: 9, Seq: uint64(len(s.seqs))},
		} {
			b := &logic.Batch{Queue: s.key().Partition() % l.queues, Entries: []logic.Entry{e}}
			must(l.t, l.node.owner.Apply(l.t.Context(), []*logic.Batch{b}))
			must(l.t, b.Err)
		}
	}
}

// shown gives what readers are shown of all conversations, nil while they are told to wait.
func (l *losing) shown() (all [][]protocol.State) {
	for _, s := range l.list {
		page, err := l.node.inbox.Changed(l.t.Context(), logic.InboxQuery{User: s.from, Device: 9, Limit: 10, Room: 1 << 20})
		if err != nil {
			if !errors.Is(err, logic.ErrUnavailable) {
				l.t.Fatal(err)
			}
			return nil
		}
		all = append(all, page.States)
	}
	return all
}

// flush writes the acks that wait.
func (l *losing) flush() {
	l.t.Helper()
	eventually(l.t, "acks are written", func() bool { return l.node.owner.FlushAcks(l.t.Context()) == nil })
}

// back waits until readers are shown what they were shown before.
func (l *losing) back(before [][]protocol.State) {
	l.t.Helper()
	eventually(l.t, "the view is back", func() bool { return l.shown() != nil })
	if got := l.shown(); !reflect.DeepEqual(got, before) {
		l.t.Fatalf("back there is\n%+v, was\n%+v", got, before)
	}
}

// whole checks everything, after some more talk.
func (l *losing) whole() {
	l.t.Helper()
	l.talk()
	l.check([]*node{l.node}, l.list)
	if vars := l.node.owner.Vars(); vars["stopped.queues"]+vars["panics"]+vars["damaged.records"] > 0 {
		l.t.Errorf("what may not happen has happened: %v", vars)
	}
}

// TestRestarted: Redis comes back with its data. Readers wait until the owner has looked.
func TestRestarted(t *testing.T) {
	l := newTalked(t, "--save", "", "--appendonly", "yes", "--appendfsync", "always")
	before := l.shown()
	l.server.Kill()
	l.server.Start()
	l.back(before)
	l.whole()
}

// TestAway: while Redis is away who sends is told busy, or nothing certain, and nothing that
// was sent is lost or doubled.
func TestAway(t *testing.T) {
	l := newTalked(t, "--save", "", "--appendonly", "yes", "--appendfsync", "always")
	l.server.Kill()
	s := l.list[0]
	queue := s.key().Partition() % l.queues
	id := uint64(len(s.seqs) + 1)
	if e, err := s.try(l.node, id); err == nil && e.Outcome != logic.Unknown && e.Outcome != logic.Refused {
		t.Fatalf("without Redis a message is %+v", e)
	}
	l.node.waitState(queue, owner.Waiting)
	eventually(t, "who sends is told busy", func() bool {
		e, err := s.try(l.node, id+1)
		if err == nil && e.Outcome != logic.Refused && e.Outcome != logic.Unknown {
			t.Fatalf("without Redis a message is %+v", e)
		}
		return err == nil && e.Code == protocol.CodeBusy && e.RetryAfter > 0
	})
	if got := l.shown(); got != nil {
		t.Fatalf("without Redis there is %+v", got)
	}
	l.server.Start()
	l.node.waitOwned()
	l.whole()
}

// TestOlder: Redis comes back as it was some records ago, and a second time while nobody
// owns its queues.
func TestOlder(t *testing.T) {
	l := newTalked(t)
	must(t, l.node.redis.Save(t.Context()).Err())
	l.talk()
	l.talk()
	l.flush()
	before := l.shown()
	l.server.Kill()
	l.server.Start()
	l.back(before)
	if v := l.node.owner.Vars(); v["repair.views"] == 0 || v["replayed.records"] < 20 {
		t.Errorf("an older view came back without being repaired: %v", v)
	}
	l.node.stop()
	l.server.Kill()
	l.server.Start() // as it was saved
	l.node = l.start(2)
	l.back(before)
	l.whole()
}

// TestEmptiedShort: a short queue makes an emptied view anew, for its owner and for the
// next one, while the history is away.
func TestEmptiedShort(t *testing.T) {
	l := newLosing(t)
	l.talkUnfed()
	before := l.shown()
	l.server.Kill()
	l.server.Start()
	l.back(before)
	l.node.stop()
	l.server.Kill()
	l.server.Start()
	l.node = l.start(2)
	l.back(before)
	if v := l.node.owner.Vars(); v["rebuilt.conversations"] < uint64(len(l.list)/2) || v["replayed.records"] > 0 {
		t.Errorf("the view was not made anew from the queue, as a whole: %v", v)
	}
	l.archive.left.Store(ever)
	l.whole()
}

// aged has the first records of all queues go, up to what the history has, so that it is
// needed.
func (l *losing) aged() {
	l.t.Helper()
	l.waitFed()
	for _, q := range queuesOf(l.queues) {
		l.memory.Age(q, int64(len(l.memory.All(q))/2))
	}
}

// TestEmptied: an emptied view comes back from the history and the queue. Meanwhile who is
// in memory goes on, and readers wait.
func TestEmptied(t *testing.T) {
	l := newTalked(t)
	l.aged()
	l.talkUnfed() // what comes from here on only the queue has
	l.server.Kill()
	l.server.Start()
	l.node.waitOwned()
	eventually(t, "the view is taken for incomplete", func() bool { return l.node.owner.Vars()["repair.rebuilds"] > 0 })
	if got := l.shown(); got != nil {
		t.Fatalf("of an emptied view there is %+v", got)
	}
	l.talk() // all are in memory
	l.flush()
	stranger := &sender{t: t, from: 500, to: 501, rng: l.list[0].rng}
	if e, err := stranger.try(l.node, 1); err == nil && e.Outcome != logic.Unknown && e.Outcome != logic.Refused {
		t.Fatalf("a conversation of which nobody knows anything takes a message: %+v", e)
	}
	l.archive.left.Store(ever)
	eventually(t, "the view is back", func() bool { return l.shown() != nil })
	if v := l.node.owner.Vars(); v["rebuilt.conversations"] == 0 {
		t.Errorf("a view is back, and nothing was brought: %v", v)
	}
	l.list = append(l.list, stranger)
	l.whole()
	l.waitFed() // though the history was away for a while
}

// TestEmptiedAndMoved: an emptied view comes back though its owner is gone, also where the
// next one dies on the way.
func TestEmptiedAndMoved(t *testing.T) {
	l := newTalked(t)
	l.aged()
	l.talk()
	l.flush()
	l.waitFed()
	before := l.shown()
	l.node.stop()
	l.server.Kill()
	l.server.Start()
	var parts atomic.Int64
	l.archive.beforeParts(func() {
		if parts.Add(1) == 3 { // some of it is back then: one of the two queues has had a part
			l.archive.left.Store(0)
		}
	})
	l.node = l.start(2)
	eventually(t, "some conversations are back", func() bool { return l.node.owner.Vars()["rebuilt.conversations"] > 0 })
	if got := l.shown(); got != nil {
		t.Fatalf("of a view of which a part is back there is %+v", got)
	}
	l.node.stop()
	l.archive.left.Store(ever)
	l.node = l.start(3)
	l.back(before)
	l.whole()
}

// TestRetriesAfterTakeOver: what was sent to a node that died is known to the next one at
// once, although the history has nothing of it.
func TestRetriesAfterTakeOver(t *testing.T) {
	l := newLosing(t)
	l.archive.left.Store(0)
	l.talk()
	l.talk()
	for _, s := range l.list {
		r, err := l.node.owner.Recent(t.Context(), s.key(), 11, 100)
		if must(t, err); r.First != 1 || r.Before != 0 || len(r.Messages) != 10 || r.Head != 20 || slices.ContainsFunc(r.Messages, func(k owner.Kept) bool { return !k.Linked }) {
			t.Errorf("while they are written there are the messages from %d to %d of %v in memory, %d of them, %+v", r.First, r.Head, s.key(), len(r.Messages), r.Messages)
		}
	}
	l.node.stop()
	l.node = l.start(2)
	l.node.waitOwned()
	for _, s := range l.list {
		for _, id := range []uint64{10, 1, 6} {
			if e, err := s.try(l.node, id); err != nil || e.Outcome != logic.Repeated || e.Seq != s.seqs[id-1] {
				t.Errorf("message %d of %d is sent again and gets %+v, %v; it had seq %d", id, s.from, e, err, s.seqs[id-1])
			}
		}
		r, err := l.node.owner.Recent(t.Context(), s.key(), 0, 100)
		if must(t, err); r.First != 1 || r.Before != 0 || len(r.Messages) != 20 || r.Head != 20 {
			t.Errorf("of %v there are the messages from %d to %d in memory, %d of them", s.key(), r.First, r.Head, len(r.Messages))
		}
		for _, k := range r.Messages {
			if want := k.Seq > 5; k.Linked && k.Previous >= k.Seq || !k.Linked && want && !slices.Contains([]uint64{1, 6}, k.Seq) {
				t.Errorf("seq %d has the link %d (%v)", k.Seq, k.Previous, k.Linked)
			}
		}
	}
	l.archive.left.Store(ever)
	l.waitFed()
	if l.archive.again == 0 {
		t.Error("nothing was read again for the history")
	}
	l.whole()
}

// TestLargeBatch: what is larger than a record goes as several, in order.
func TestLargeBatch(t *testing.T) {
	l := newLosing(t)
	s := l.list[0]
	b := &logic.Batch{Queue: s.key().Partition() % l.queues}
	for id := uint64(1); id <= 12; id++ {
		start := uint32(len(b.Blob))
		b.Blob = protocol.Message{
			Target: protocol.Target{Kind: protocol.KindDirect, ID: s.to}, Sender: s.from, Device: 1, ClientID: id,
			Content: protocol.ContentText, Body: make([]byte, 60_000),
		}.AppendFrame(b.Blob)
		b.Entries = append(b.Entries, logic.Entry{Op: hop.OpMessage, Conversation: s.key(), User: s.from, Device: 1, ClientID: id, Frame: hop.Span{Start: start, End: uint32(len(b.Blob))}})
	}
	must(t, l.node.owner.Apply(t.Context(), []*logic.Batch{b}))
	must(t, b.Err)
	for i, e := range b.Entries {
		if e.Outcome != logic.Applied || e.Seq != uint64(i+1) {
			t.Fatalf("message %d is %+v", i+1, e)
		}
		s.seqs = append(s.seqs, e.Seq)
	}
	records := 0
	for _, body := range l.memory.All(chain.Queue{Class: chain.Chat, Number: b.Queue}) {
		if len(body) > chain.MaxRecord {
			t.Errorf("a record has %d bytes", len(body))
		}
		if len(body) > 60_000 {
			records++
		}
	}
	if records != 12 {
		t.Errorf("12 messages of which two do not fit went in %d records", records)
	}
	l.list = l.list[:1]
	l.check([]*node{l.node}, l.list)
}
