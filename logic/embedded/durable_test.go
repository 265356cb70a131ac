package embedded

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

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

// what a reader sees of the conversations that user 1 has.
type sight struct {
	head, read int
	position   logic.Position
	inbox      int
}

func look(t *testing.T, s *Store, c protocol.Conversation) (got sight) {
	t.Helper()
	ctx := context.Background()
	head, err := s.Head(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	got.head = int(head)
	if err := s.Read(ctx, c, 1, 100, false, func(uint64, []byte) bool { got.read++; return true }); err != nil {
		t.Fatal(err)
	}
	positions, err := s.Positions(ctx, c, []uint64{1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got.position = positions[0]
	if err := s.Conversations(ctx, 1, protocol.Target{}, func(logic.Summary) bool { got.inbox++; return true }); err != nil {
		t.Fatal(err)
	}
	return got
}

// TestNothingVisibleBeforeDurable holds a sync back: Pebble shows the messages
// of the commit already, the store must not.
func TestNothingVisibleBeforeDurable(t *testing.T) {
	var armed atomic.Bool
	release := make(chan struct{})
	fs := onLogSync(vfs.NewMem(), &armed, func() error { <-release; return nil })
	s := mustOpen(t, Options{Lanes: 1, FS: fs, CacheConversations: 1})
	known, fresh := direct(1, 2), direct(1, 3)
	mustSend(t, s, 1, 1, 2, 1)
	before := sight{head: 1, read: 1, position: logic.Position{Delivered: 1, Read: 1}, inbox: 1}
	if got := look(t, s, known); got != before {
		t.Fatalf("at first a reader sees %+v, want %+v", got, before)
	}

	armed.Store(true)
	b := new(entries).send(1, 1, 2, 2).send(2, 1, 1, 1).send(1, 1, 3, 1)
	done := make(chan error, 1)
	go func() { done <- b.appendTo(s) }()
	p := placeOf(fresh)
	for { // until Pebble shows the commit
		_, closer, err := s.db.Get(messageKey(&p, 1))
		if err == nil {
			closer.Close()
			break
		}
		if !errors.Is(err, pebble.ErrNotFound) {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	if got := look(t, s, known); got != before {
		t.Errorf("during the sync a reader sees %+v, want %+v", got, before)
	}
	if got, want := look(t, s, fresh), (sight{inbox: 1}); got != want {
		t.Errorf("during the sync a reader sees %+v of a new conversation, want %+v", got, want)
	}

	armed.Store(false)
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	want := sight{head: 3, read: 3, position: logic.Position{Delivered: 2, Read: 2}, inbox: 2}
	if got := look(t, s, known); got != want {
		t.Errorf("after the sync a reader sees %+v, want %+v", got, want)
	}
}

// TestFailedSync: when the disk fails nothing is acked, published or shown any
// more, and a store opened anew goes on from what is durable.
func TestFailedSync(t *testing.T) {
	disk := vfs.NewCrashableMem()
	var armed atomic.Bool
	fs := onLogSync(disk, &armed, func() error { return errors.New("the disk is gone") })
	published := 0
	s, err := Open("data", Options{Lanes: 2, FS: fs, Publish: func(int, []byte) { published++ }})
	if err != nil {
		t.Fatal(err)
	}
	first := mustSend(t, s, 1, 1, 2, 1)

	armed.Store(true)
	for try := range 3 {
		if err := new(entries).send(1, 1, 2, 2).appendTo(s); !errors.Is(err, logic.ErrUnavailable) {
			t.Fatalf("try %d: the error is %v, want ErrUnavailable", try, err)
		}
	}
	armed.Store(false)
	select {
	case <-s.Failed():
	default:
		t.Fatal("nobody is told that the store has failed")
	}
	if err := new(entries).send(1, 1, 3, 1).appendTo(s); !errors.Is(err, logic.ErrUnavailable) {
		t.Fatalf("after a failed sync the error is %v, want ErrUnavailable for good", err)
	}
	if head, err := s.Head(context.Background(), direct(1, 2)); head != 1 || err != nil {
		t.Fatalf("the head is %d, %v; want 1", head, err)
	}
	if published != 1 {
		t.Fatalf("%d records published, want 1", published)
	}
	if err := s.Close(); !errors.Is(err, logic.ErrUnavailable) {
		t.Fatalf("Close gives %v, want the failure", err)
	}

	s = mustOpen(t, Options{Lanes: 2, FS: disk.CrashClone(vfs.CrashCloneCfg{})})
	if e := mustSend(t, s, 1, 1, 2, 1); e.Outcome != logic.Repeated || e.Seq != first.Seq {
		t.Fatalf("after a restart the first message got %+v, want seq %d again", e, first.Seq)
	}
	if e := mustSend(t, s, 1, 1, 2, 2); e.Outcome != logic.Applied || e.Seq != 2 {
		t.Fatalf("after a restart the lost message got %+v, want seq 2", e)
	}
}

// TestPublishInOrder: records of a lane come in the order of their seqs, also
// when many append at once.
func TestPublishInOrder(t *testing.T) {
	next := uint64(1)
	s := mustOpen(t, Options{Lanes: 1, FS: vfs.NewMem(), Publish: func(_ int, record []byte) {
		for len(record) > 0 { // one record at a time: the lane calls it
			f, n, err := protocol.Split(record, protocol.MaxFrame)
			var m protocol.Message
			if err != nil || m.Decode(f.Payload) != nil || m.Seq != next {
				t.Errorf("seq %d was published (%v), want %d", m.Seq, err, next)
			}
			record, next = record[n:], next+1
		}
	}})
	var wg sync.WaitGroup
	for device := uint64(1); device <= 8; device++ {
		wg.Go(func() {
			for id := uint64(1); id < 100; id += 2 {
				if err := new(entries).send(1, device, 2, id).send(1, device, 2, id+1).appendTo(s); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if next != 801 {
		t.Errorf("%d messages were published, want 800", next-1)
	}
}
