package embedded

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/protocol"
)

func TestClosed(t *testing.T) {
	s := mustOpen(t, Options{Queues: 1, FS: vfs.NewMem()})
	mustSend(t, s, 1, 1, 2, 1)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, changed := s.Changed(t.Context(), logic.InboxQuery{User: 1, Limit: 1, Room: 1})
	for name, err := range map[string]error{
		"Apply":   s.Apply(t.Context(), []*logic.Batch{&new(entries).send(1, 1, 2, 2).Batch}),
		"Pages":   s.Pages(t.Context(), []*logic.Page{{Conversation: direct(1, 2), Limit: 1}}),
		"Changed": changed,
	} {
		if !errors.Is(err, logic.ErrUnavailable) {
			t.Errorf("%s gives %v after Close, want ErrUnavailable", name, err)
		}
	}
	select {
	case <-s.Failed():
		t.Error("a store that was closed says that it has failed")
	default:
	}
}

// TestAbandonedBatch: a batch that cannot be worked out leaves nothing behind,
// neither on the disk nor in memory, and its queue goes on.
func TestAbandonedBatch(t *testing.T) {
	s := mustOpen(t, Options{Queues: 1, FS: vfs.NewMem(), Now: newClock().now, Log: slog.New(slog.DiscardHandler)})
	mustSend(t, s, 1, 1, 2, 1)
	before := look(t, s, 2)
	bad := new(entries).send(1, 1, 2, 2).send(1, 1, 3, 1).ack(2, 1, 1, 2).read(2, 1, 1, 2).send(1, 1, 2, 3)
	bad.Entries[4].Frame = hop.Span{Start: 1 << 20, End: 1 << 21} // not in the blob
	if err := bad.applyTo(t, s); !errors.Is(err, logic.ErrUnavailable) {
		t.Fatalf("the error is %v, want ErrUnavailable", err)
	}
	for i, e := range bad.Entries {
		if e.Outcome != logic.Unknown {
			t.Errorf("entry %d has outcome %d", i, e.Outcome)
		}
	}
	if got := look(t, s, 2); got != before {
		t.Errorf("a reader sees %+v, before the batch %+v", got, before)
	}
	if err := s.Err(); err != nil {
		t.Fatalf("the store has failed: %v", err)
	}
	if e := mustSend(t, s, 1, 1, 2, 2); e.Outcome != logic.Applied || e.Seq != 2 {
		t.Fatalf("the next message got %+v, want seq 2", e)
	}
	if e := mustSend(t, s, 1, 1, 3, 1); e.Outcome != logic.Applied || e.Seq != 1 {
		t.Fatalf("the next message got %+v, want seq 1", e)
	}
	if state := stateOf(t, s, 2, 1, 1); state.Acked != 0 || state.Read != 0 || state.Unread != 2 {
		t.Fatalf("the other side is at %+v", state)
	}
}

// TestWrongQueue: an entry of another queue's conversation is not carried out, where
// its seq could be given out twice; the others are.
func TestWrongQueue(t *testing.T) {
	s := mustOpen(t, Options{Queues: 2, FS: vfs.NewMem()})
	peers := make(map[int]uint64)
	for peer := uint64(2); len(peers) < 2; peer++ {
		peers[s.queueOf(direct(1, peer)).index] = peer
	}
	b := new(entries).send(1, 1, peers[0], 1).send(1, 1, peers[1], 1).read(1, 1, peers[1], 1).ack(1, 1, peers[1], 1).send(1, 1, peers[0], 2)
	b.Queue = 0
	if err := s.Apply(t.Context(), []*logic.Batch{&b.Batch}); err != nil || b.Err != nil {
		t.Fatal(err, b.Err)
	}
	for i, want := range []logic.Outcome{logic.Applied, logic.Unknown, logic.Unknown, logic.Unknown, logic.Applied} {
		if got := b.Entries[i].Outcome; got != want {
			t.Errorf("entry %d has outcome %d, want %d", i, got, want)
		}
	}
	if head := headOf(t, s, direct(1, peers[1])); head != 0 {
		t.Errorf("a message was taken in the wrong queue, as seq %d", head)
	}
	if e := mustSend(t, s, 1, 1, peers[1], 1); e.Outcome != logic.Applied || e.Seq != 1 {
		t.Errorf("in its own queue it got %+v", e)
	}
}

// TestSinceIsExact: what did not change is left out once all is written.
func TestSinceIsExact(t *testing.T) {
	clock := newClock()
	s := mustOpen(t, Options{Queues: 3, FS: vfs.NewMem(), Now: clock.now})
	for peer := uint64(2); peer < 30; peer++ {
		mustSend(t, s, 1, 1, peer, 1)
	}
	s.flushAcks(true)
	since := look(t, s, 2).next
	if got := changedSince(t, s, since); len(got) != 0 {
		t.Fatalf("nothing happened, and %v are said to have changed", got)
	}
	mustSend(t, s, 7, 1, 1, 1)
	new(entries).read(1, 1, 9, 1).mustApply(t, s)
	new(entries).ack(11, 1, 1, 1).mustApply(t, s)
	s.flushAcks(true)
	if got := changedSince(t, s, since); len(got) != 3 || got[0] != 7 || got[1] != 9 || got[2] != 11 {
		t.Fatalf("%v are said to have changed, want 7, 9 and 11", got)
	}
	if got := changedSince(t, s, look(t, s, 2).next); len(got) != 0 {
		t.Fatalf("nothing happened, and %v are said to have changed", got)
	}
}

// TestLearnedCounts: the counts as of a read cursor are looked up once and then
// kept, also over a restart.
func TestLearnedCounts(t *testing.T) {
	clock := newClock() // stands, so that only this test writes what is learned
	opts := Options{Queues: 1, FS: vfs.NewMem(), Now: clock.now}
	s := mustOpen(t, opts)
	for id := uint64(1); id <= 10; id++ {
		mustSend(t, s, 1, 1, 2, id)
	}
	new(entries).read(2, 1, 1, 4).mustApply(t, s)
	s.flushAcks(true)
	before := commitsOf(t, s)
	if state := stateOf(t, s, 2, 1, 1); state.Unread != 6 {
		t.Fatalf("%d are unread, want 6", state.Unread)
	}
	eventually(t, "what was learned is written", func() bool { // at the second try if the store was just taking it in
		s.flushAcks(true)
		return commitsOf(t, s) > before
	})
	s.flushAcks(true)
	if got := commitsOf(t, s) - before; got != 1 {
		t.Fatalf("what was learned was written in %d records, want 1", got)
	}
	for range 2 {
		before = commitsOf(t, s)
		if state := stateOf(t, s, 2, 1, 1); state.Unread != 6 {
			t.Fatalf("%d are unread, want 6", state.Unread)
		}
		if s.queues[0].ledger.Due(uint64(s.now().UnixMilli()), true) {
			t.Fatal("what is known was looked up again")
		}
		s.flushAcks(true)
		if got := commitsOf(t, s) - before; got != 0 {
			t.Fatalf("%d records for nothing", got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, opts)
	}
}

// TestQueuesChange: nothing on the disk depends on the number of queues.
func TestQueuesChange(t *testing.T) {
	disk := vfs.NewMem()
	var since uint64
	for life, queues := range []int{4, 1, 16, 2, 256, 3} {
		s := mustOpen(t, Options{Queues: queues, FS: disk})
		if got := changedSince(t, s, since); life > 0 && len(got) != 0 {
			t.Fatalf("over a restart %v are said to have changed", got)
		}
		for peer := uint64(2); peer < 40; peer++ {
			e := new(entries).send(1, 1, peer, uint64(life)+1).send(1, 1, peer, max(uint64(life), 1)).read(peer, 1, 1, uint64(life)).mustApply(t, s)
			if e[0].Seq != uint64(life)+1 || e[0].Outcome != logic.Applied {
				t.Fatalf("with %d queues: %+v, want seq %d", queues, e[0], life+1)
			}
			if want := max(uint64(life), 1); e[1].Outcome != logic.Repeated || e[1].Seq != want {
				t.Fatalf("with %d queues the retry got %+v, want seq %d", queues, e[1], want)
			}
			if state := stateOf(t, s, peer, 1, 1); state.Unread != 1 || state.Read != uint64(life) {
				t.Fatalf("with %d queues user %d is at %+v", queues, peer, state)
			}
		}
		s.flushAcks(true)
		since = look(t, s, 2).next
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCancelledReads: a read whose caller has gone is an error, and takes nothing
// along.
func TestCancelledReads(t *testing.T) {
	s := mustOpen(t, Options{Queues: 1, FS: vfs.NewMem()})
	mustSend(t, s, 1, 1, 2, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Changed(ctx, logic.InboxQuery{User: 1, Device: 1, Limit: 9, Room: protocol.MaxFrame}); !errors.Is(err, context.Canceled) {
		t.Errorf("Changed gives %v", err)
	}
	page := logic.Page{Conversation: direct(1, 2), Limit: 9, Room: protocol.MaxFrame}
	if err := s.Pages(ctx, []*logic.Page{&page}); err != nil || !errors.Is(page.Err, context.Canceled) {
		t.Errorf("Pages gives %v, the page %v", err, page.Err)
	}
	if head := headOf(t, s, direct(1, 2)); head != 1 {
		t.Errorf("the head is %d", head)
	}
}
