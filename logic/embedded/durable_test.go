package embedded

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/protocol"
)

// onLogSync wraps a file system so that do runs before each sync of the
// write-ahead log once armed is set; its error becomes that of the sync.
func onLogSync(fs vfs.FS, armed *atomic.Bool, do func() error) vfs.FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		sync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
		if sync && strings.HasSuffix(op.Path, ".log") && armed.Load() {
			return do()
		}
		return nil
	}))
}

// sight is what user 1's device 1 sees of a conversation.
type sight struct {
	head                           uint64
	there                          int // messages
	delivered, read, unread, acked uint64
	inbox                          int // conversations
	next                           uint64
}

func look(t *testing.T, s *Store, peer uint64) (got sight) {
	t.Helper()
	page := logic.Page{Conversation: direct(1, peer), Limit: 100, Room: 1 << 20}
	if err := s.Pages(t.Context(), []*logic.Page{&page}); err != nil || page.Err != nil {
		t.Fatal(err, page.Err)
	}
	got.head, got.there = page.Head, page.Count
	inbox, err := s.Changed(t.Context(), logic.InboxQuery{User: 1, Device: 1, Limit: 100, Room: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	got.inbox, got.next = len(inbox.States), inbox.Next
	for _, state := range inbox.States {
		if state.Target == to(peer) {
			got.delivered, got.read, got.unread, got.acked = state.Delivered, state.Read, state.Unread, state.Acked
		}
	}
	return got
}

// changedSince gives the peers in user 1's inbox that changed.
func changedSince(t *testing.T, s *Store, since uint64) (peers []uint64) {
	t.Helper()
	page, err := s.Changed(t.Context(), logic.InboxQuery{User: 1, Device: 1, Since: since, Limit: 100, Room: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range page.States {
		peers = append(peers, state.Target.ID)
	}
	return peers
}

// shown waits until Pebble shows a message, which it does before the sync.
func shown(t *testing.T, s *Store, c protocol.Conversation, seq uint64) {
	t.Helper()
	p := placeOf(c)
	for {
		_, closer, err := s.db.Get(messageKey(&p, seq))
		if err == nil {
			closer.Close()
			return
		}
		if !errors.Is(err, pebble.ErrNotFound) {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
}

// TestNothingVisibleBeforeDurable holds a sync back: Pebble shows the messages
// of the commit already, the store must not.
func TestNothingVisibleBeforeDurable(t *testing.T) {
	var armed atomic.Bool
	release := make(chan struct{})
	fs := onLogSync(vfs.NewMem(), &armed, func() error { <-release; return nil })
	s := mustOpen(t, Options{Queues: 1, FS: fs, CacheConversations: 1, Now: newClock().now})
	mustSend(t, s, 1, 1, 2, 1)
	mustSend(t, s, 5, 1, 6, 1)
	mustSend(t, s, 5, 1, 7, 1) // the cache has room for two
	before := sight{head: 1, there: 1, delivered: 1, acked: 1, inbox: 1, next: 4}
	if got := look(t, s, 2); got != before {
		t.Fatalf("at first a reader sees %+v, want %+v", got, before)
	}

	armed.Store(true)
	b := new(entries).send(1, 1, 2, 2).send(2, 1, 1, 1).ack(1, 1, 2, 3).read(1, 1, 2, 3).send(1, 1, 3, 1)
	done := make(chan error, 1)
	go func() { done <- b.applyTo(t, s) }()
	shown(t, s, direct(1, 3), 1)
	if got := look(t, s, 2); got != before {
		t.Errorf("during the sync a reader sees %+v, want %+v", got, before)
	}
	if got := look(t, s, 3); got != (sight{inbox: 1, next: 4}) {
		t.Errorf("during the sync a reader sees %+v of a new conversation", got)
	}
	since := look(t, s, 2).next

	armed.Store(false)
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	want := sight{head: 3, there: 3, delivered: 3, read: 3, acked: 3, inbox: 2, next: 5}
	if got := look(t, s, 2); got != want {
		t.Errorf("after the sync a reader sees %+v, want %+v", got, want)
	}
	if got := changedSince(t, s, since); len(got) != 2 {
		t.Errorf("since the sync began %v changed, want 2 and 3", got)
	}
}

// TestFailedSync: when the disk fails nothing is acked, published or shown any
// more, everybody who waits is told, and a store opened anew goes on from what is
// durable.
func TestFailedSync(t *testing.T) {
	disk := vfs.NewCrashableMem()
	var armed atomic.Bool
	fs := onLogSync(disk, &armed, func() error { return errors.New("the disk is gone") })
	published := 0
	s, err := Open("data", Options{Queues: 2, FS: fs, Now: newClock().now, Log: slog.New(slog.DiscardHandler), Publish: func(context.Context, *hop.Record) { published++ }})
	if err != nil {
		t.Fatal(err)
	}
	first := mustSend(t, s, 1, 1, 2, 1)
	new(entries).ack(2, 1, 1, 1).mustApply(t, s)
	before := look(t, s, 2)

	armed.Store(true)
	var waiting sync.WaitGroup
	for peer := uint64(2); peer < 40; peer++ {
		waiting.Go(func() {
			b := new(entries).send(1, 1, peer, 2).read(1, 1, peer, 1)
			if err := b.applyTo(t, s); !errors.Is(err, logic.ErrUnavailable) || b.Entries[0].Outcome != logic.Unknown || b.Entries[1].Outcome != logic.Unknown {
				t.Errorf("the error is %v, want ErrUnavailable, and nothing known of %+v", err, b.Entries)
			}
		})
	}
	waiting.Wait()
	armed.Store(false)
	select {
	case <-s.Failed():
	default:
		t.Fatal("nobody is told that the store has failed")
	}
	if err := s.Err(); !errors.Is(err, logic.ErrUnavailable) {
		t.Fatalf("Err gives %v", err)
	}
	for peer := uint64(2); peer < 5; peer++ {
		if err := new(entries).send(1, 1, peer, 1).applyTo(t, s); !errors.Is(err, logic.ErrUnavailable) {
			t.Fatalf("after a failed sync the error is %v, want ErrUnavailable for good", err)
		}
	}
	after := look(t, s, 2)
	if after != before {
		t.Fatalf("a reader sees %+v, before the failure %+v", after, before)
	}
	if published != 1 {
		t.Fatalf("%d records published, want 1", published)
	}
	if err := s.Close(); !errors.Is(err, logic.ErrUnavailable) {
		t.Fatalf("Close gives %v, want the failure", err)
	}

	// What was under way may be on the disk or not; here all of it is.
	s = mustOpen(t, Options{Queues: 2, FS: disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})})
	came, told := 0, changedSince(t, s, after.next)
	for _, peer := range changedSince(t, s, 0) {
		if peer != 2 || look(t, s, 2).head > 1 {
			came++
			if !slices.Contains(told, peer) {
				t.Errorf("a message to %d came up with the failed commit; since %d only %v changed", peer, after.next, told)
			}
		}
	}
	if came == 0 {
		t.Error("nothing of the failed commit is on the disk; the test says nothing about it")
	}

	s = mustOpen(t, Options{Queues: 2, FS: disk.CrashClone(vfs.CrashCloneCfg{})})
	if e := mustSend(t, s, 1, 1, 2, 1); e.Outcome != logic.Repeated || e.Seq != first.Seq || e.Time != first.Time {
		t.Fatalf("after a restart the first message got %+v, want seq %d again", e, first.Seq)
	}
	if e := mustSend(t, s, 1, 1, 2, 2); e.Outcome != logic.Applied || e.Seq != 2 {
		t.Fatalf("after a restart the lost message got %+v, want seq 2", e)
	}
}

// TestCloseDuringCalls: whoever calls while the store closes is answered, and what
// was applied is there afterwards.
func TestCloseDuringCalls(t *testing.T) {
	disk := vfs.NewMem()
	opts := Options{Queues: 2, FS: disk, Publish: func(context.Context, *hop.Record) {}}
	s := mustOpen(t, opts)
	mustSend(t, s, 1, 1, 2, 1)
	var applied [8]atomic.Uint64
	var callers sync.WaitGroup
	started := make(chan struct{}, 8)
	for n := range applied {
		callers.Go(func() {
			for id := uint64(1); ; id++ {
				if id == 5 {
					started <- struct{}{}
				}
				b := new(entries).send(uint64(10+n), 1, 2, id)
				err := b.applyTo(t, s)
				if _, readErr := s.Changed(t.Context(), logic.InboxQuery{User: 2, Device: 1, Limit: 9, Room: 1 << 20}); readErr != nil && !errors.Is(readErr, logic.ErrUnavailable) {
					t.Errorf("Changed: %v", readErr)
				}
				if err != nil {
					if !errors.Is(err, logic.ErrUnavailable) {
						t.Errorf("Apply: %v", err)
					}
					return
				}
				applied[n].Store(b.Entries[0].Seq)
			}
		})
	}
	for range applied {
		<-started
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	callers.Wait()
	s = mustOpen(t, opts)
	for n := range applied {
		if head := headOf(t, s, direct(uint64(10+n), 2)); head < 4 || head != applied[n].Load() {
			t.Errorf("caller %d was told of seq %d, the head is %d", n, applied[n].Load(), head)
		}
	}
}

// TestFailedSyncOfAcks: the failure of a write for which nobody waits is noticed.
func TestFailedSyncOfAcks(t *testing.T) {
	var armed atomic.Bool
	clock := newClock()
	fs := onLogSync(vfs.NewMem(), &armed, func() error { return errors.New("the disk is gone") })
	s, err := Open("data", Options{Queues: 1, FS: fs, Now: clock.now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	mustSend(t, s, 1, 1, 2, 1)
	new(entries).ack(2, 1, 1, 1).mustApply(t, s)
	armed.Store(true)
	clock.ms.Add(1000)
	select {
	case <-s.Failed():
	case <-time.After(time.Minute):
		t.Fatal("nobody is told that the store has failed")
	}
	if err := s.Close(); !errors.Is(err, logic.ErrUnavailable) {
		t.Fatalf("Close gives %v, want the failure", err)
	}
}
