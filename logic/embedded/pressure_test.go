package embedded

import (
	"errors"
	"log/slog"
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

// patience bounds every wait; nothing here takes a fraction of it.
const patience = 60 * time.Second

// await waits until the condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// within fails the test if do does not return.
func within(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s: not within %v", what, patience)
	}
}

// large is a message with a body of this size.
func (b *entries) large(user, device, peer, id uint64, body int) *entries {
	return b.body(user, device, peer, id, make([]byte, body))
}

func (b *entries) body(user, device, peer, id uint64, body []byte) *entries {
	start := len(b.Blob)
	m := protocol.Message{Target: to(peer), Sender: user, Device: device, ClientID: id, Content: protocol.ContentText, Body: body}
	b.Blob = m.AppendFrame(b.Blob)
	b.Entries = append(b.Entries, logic.Entry{
		Op: hop.OpMessage, Conversation: m.Conversation(), User: user, Device: device, ClientID: id,
		Frame: hop.Span{Start: uint32(start), End: uint32(len(b.Blob))},
	})
	return b
}

// onTable wraps a file system so that do runs before each table is written to; its
// error becomes that of the write.
func onTable(fs vfs.FS, do func() error) vfs.FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if (op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpCreate) && isTable(op.Path) {
			return do()
		}
		return nil
	}))
}

// smallTables makes a few messages fill a table.
func smallTables(o *pebble.Options) {
	o.MemTableSize = 256 << 10
	o.MemTableStopWritesThreshold = 4
}

// TestBusyBeforeAStall: while flushes stand still messages are refused before Pebble
// would hold a commit back; acks and reads are taken, and messages again once the
// flushes go on.
func TestBusyBeforeAStall(t *testing.T) {
	gate := make(chan struct{})
	fs := onTable(vfs.NewMem(), func() error { <-gate; return nil })
	s := mustOpen(t, Options{Queues: 2, FS: fs, Log: slog.New(slog.DiscardHandler), tune: smallTables})
	open := sync.OnceFunc(func() { close(gate) })
	t.Cleanup(open) // before the store closes
	var refused logic.Entry
	last := uint64(0)
	within(t, "messages are refused", func() {
		for id := uint64(1); refused.Outcome != logic.Refused; id++ {
			b := new(entries).large(1, 1, 2, id, 4<<10).read(2, 1, 1, id)
			if err := b.applyTo(t, s); err != nil {
				t.Error(err)
				return
			}
			if refused = b.Entries[0]; refused.Outcome != logic.Refused {
				last = refused.Seq
			}
			if got := b.Entries[1]; got.Outcome != logic.Applied && got.Outcome != logic.Repeated {
				t.Errorf("a READ with message %d came to %+v", id, got)
			}
			if id > 10_000 {
				t.Error("10,000 messages of 4 KiB are taken while nothing is written out")
				return
			}
		}
	})
	if refused.Code != protocol.CodeBusy || refused.RetryAfter <= 0 || refused.Seq != 0 {
		t.Errorf("it was refused with %+v", refused)
	}
	if last < 100 {
		t.Errorf("only %d messages were taken into 1 MiB of tables", last)
	}
	within(t, "an ack is taken", func() {
		b := new(entries).ack(2, 1, 1, last).large(1, 1, 2, 2_000_000, 4<<10).read(2, 1, 1, last)
		if err := b.applyTo(t, s); err != nil {
			t.Error(err)
		}
		if b.Entries[0].Outcome != logic.Applied || b.Entries[1].Outcome != logic.Refused || b.Entries[2].Seq != last || b.Entries[2].Outcome == logic.Refused {
			t.Errorf("a batch came to %+v", b.Entries)
		}
	})
	within(t, "a small message is refused behind a large one of its device", func() {
		b := new(entries).large(1, 1, 2, 2_000_000, 4<<10).large(1, 1, 2, 2_000_001, 1).large(1, 2, 2, 1, 1)
		if err := b.applyTo(t, s); err != nil {
			t.Error(err)
		}
		if b.Entries[0].Outcome != logic.Refused || b.Entries[1].Outcome != logic.Refused || b.Entries[2].Outcome != logic.Applied {
			t.Errorf("a batch came to %+v", b.Entries)
		}
	})
	small := 0
	within(t, "small messages are refused as well", func() {
		for id := uint64(2_000_001); ; id++ {
			e := trySend(t, s, 1, 1, 2, id)
			if e.Outcome == logic.Refused {
				return
			}
			small, last = small+1, e.Seq
		}
	})
	if small < 100 || small > 1000 {
		t.Errorf("%d small messages were taken into a reserve of 128 KiB", small)
	}
	if e := new(entries).read(2, 1, 1, last).mustApply(t, s)[0]; e.Outcome != logic.Applied {
		t.Errorf("a READ came to %+v", e)
	}
	if stats := s.Stats(); stats["stalls"] != 0 || stats["refused.busy"] != 5 || stats["waiting_bytes"] < 1<<20 {
		t.Errorf("counters: %v", stats)
	}
	if head := headOf(t, s, direct(1, 2)); head != last {
		t.Errorf("the head is %d, want %d", head, last)
	}
	if err := s.Health(); err != nil {
		t.Errorf("a store that is behind is not well: %v", err)
	}

	open()
	var taken logic.Entry
	await(t, "messages are taken again", func() bool {
		taken = trySend(t, s, 1, 1, 2, 3_000_000)
		return taken.Outcome != logic.Refused
	})
	if taken.Outcome != logic.Applied || taken.Seq != last+1 {
		t.Errorf("the next message got %+v, want seq %d", taken, last+1)
	}
}

// TestBusyBeforeLevel0IsFull: so they are when compactions are behind.
func TestBusyBeforeLevel0IsFull(t *testing.T) {
	s := mustOpen(t, Options{Queues: 1, FS: vfs.NewMem(), Log: slog.New(slog.DiscardHandler), tune: func(o *pebble.Options) {
		smallTables(o)
		o.L0CompactionThreshold, o.L0StopWritesThreshold = 8, 8
		o.DisableAutomaticCompactions = true
	}})
	within(t, "messages are refused", func() {
		for id := uint64(1); ; id++ {
			b := new(entries).large(1, 1, 2, id, 4<<10)
			if err := b.applyTo(t, s); err != nil {
				t.Error(err)
				return
			}
			if b.Entries[0].Outcome == logic.Refused {
				if b.Entries[0].Code != protocol.CodeBusy {
					t.Errorf("it was refused with %+v", b.Entries[0])
				}
				return
			}
		}
	})
	if stats := s.Stats(); stats["stalls"] != 0 {
		t.Errorf("counters: %v", stats)
	}
}

// roomy is a file system that says how much room it has.
type roomy struct {
	vfs.FS
	free   atomic.Uint64
	broken atomic.Bool
}

func (r *roomy) GetDiskUsage(string) (vfs.DiskUsage, error) {
	if r.broken.Load() {
		return vfs.DiskUsage{}, errors.New("nobody knows")
	}
	return vfs.DiskUsage{AvailBytes: r.free.Load()}, nil
}

// TestStorageFull: with little room left messages are refused, with less acks and
// reads as well; history goes on, and all of it by itself when there is room again.
func TestStorageFull(t *testing.T) {
	disk := &roomy{FS: vfs.NewMem()}
	disk.free.Store(2 << 30)
	s := mustOpen(t, Options{Queues: 2, FS: disk, MinFree: 1 << 30, Log: slog.New(slog.DiscardHandler)})
	mustSend(t, s, 1, 1, 2, 1)

	id := uint64(2)
	sent := func() (e logic.Entry) { e = mustSend(t, s, 1, 1, 2, id); id++; return e }
	disk.free.Store(1<<30 - 1)
	var e logic.Entry
	await(t, "messages are refused", func() bool { e = sent(); return e.Outcome == logic.Refused })
	if e.Code != protocol.CodeStorageFull || e.RetryAfter < time.Second {
		t.Errorf("it was refused with %+v", e)
	}
	head := headOf(t, s, direct(1, 2))
	if got := new(entries).read(2, 1, 1, head).ack(2, 1, 1, head).mustApply(t, s); got[0].Outcome != logic.Applied || got[1].Outcome != logic.Applied {
		t.Errorf("above the lower mark a READ and a PUSHACK came to %+v", got)
	}
	if err := s.Health(); err == nil {
		t.Error("a store without room says that it is well")
	}
	if got := s.Stats(); got["refused.storage_full"] == 0 || got["free_bytes"] != 1<<30-1 {
		t.Errorf("counters: %v", got)
	}

	disk.free.Store(1<<28 - 1)
	await(t, "reads are refused", func() bool {
		e = new(entries).read(2, 1, 1, head).mustApply(t, s)[0]
		return e.Outcome == logic.Refused
	})
	if e.Code != protocol.CodeStorageFull {
		t.Errorf("it was refused with %+v", e)
	}
	if state := stateOf(t, s, 2, 1, 1); state.Head != head || state.Read != head {
		t.Errorf("SYNC gives %+v, want everything up to %d", state, head)
	}
	page := logic.Page{Conversation: direct(1, 2), Limit: 1 << 20, Room: 1 << 30}
	if err := s.Pages(t.Context(), []*logic.Page{&page}); err != nil || page.Err != nil || uint64(page.Count) != head {
		t.Errorf("HISTORY gives %d messages, %v, %v", page.Count, err, page.Err)
	}

	disk.broken.Store(true) // what was known last counts
	disk.free.Store(2 << 30)
	before := s.pressure.free.Load()
	if e := sent(); e.Outcome != logic.Refused || before != 1<<28-1 {
		t.Errorf("with %d free as far as is known a message came to %+v", before, e)
	}
	disk.broken.Store(false)
	await(t, "messages are taken again", func() bool { e = sent(); return e.Outcome == logic.Applied })
	if e.Seq != head+1 {
		t.Errorf("it got seq %d, want %d", e.Seq, head+1)
	}
	if err := s.Health(); err != nil {
		t.Errorf("Health gives %v", err)
	}
}

// filling is a file system of a certain size.
type filling struct {
	*vfs.MemFS
	size int64
}

// left gives what is free, below 0 once more was written than there is room for.
func (f *filling) left() int64 {
	names, err := f.List("data")
	if err != nil {
		return f.size // nothing is there yet
	}
	left := f.size
	for _, name := range names {
		if info, err := f.Stat(f.PathJoin("data", name)); err == nil {
			left -= info.Size()
		}
	}
	return left
}

func (f *filling) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: uint64(max(0, f.left()))}, nil
}

// TestFastWriterLeavesRoom: messages are refused while there is more room than is kept
// for acks and reads, however much is written in the time between two looks.
func TestFastWriterLeavesRoom(t *testing.T) {
	const minFree = 16 << 20
	disk := &filling{MemFS: vfs.NewMem(), size: 48 << 20}
	s := mustOpen(t, Options{Queues: 1, FS: disk, MinFree: minFree, Log: slog.New(slog.DiscardHandler)})
	for id := uint64(1); ; {
		b := new(entries)
		for range 16 {
			b.large(1, 1, 2, id, 60<<10)
			id++
		}
		if e := b.mustApply(t, s)[0]; e.Outcome == logic.Refused {
			if e.Code != protocol.CodeStorageFull {
				t.Fatalf("refused with %+v", e)
			}
			break
		}
		if left := disk.left(); left < minFree/2 {
			t.Fatalf("messages are taken with %d bytes left of the %d to be kept free", left, minFree)
		}
	}
	if left := disk.left(); left >= minFree {
		t.Errorf("refused with %d bytes free", left)
	}
}
