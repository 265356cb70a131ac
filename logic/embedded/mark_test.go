package embedded

import (
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"gannet/logic"
)

// onMark wraps a file system so that do runs before each operation of these kinds on
// the mark while armed is set; its error becomes that of the operation.
func onMark(fs vfs.FS, armed *atomic.Bool, do func() error, kinds ...errorfs.OpKind) vfs.FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		for _, kind := range kinds {
			if op.Kind == kind && strings.Contains(op.Path, ".mark") && armed.Load() {
				return do()
			}
		}
		return nil
	}))
}

// TestMarkSlots: a slot is read as it was written, and not at all once a bit of it has
// changed.
func TestMarkSlots(t *testing.T) {
	m := mark{generation: 7, ceiling: 1 << 21, stamp: 99, time: 1_700_000_000_000}
	for i := range m.commits {
		m.commits[i] = uint64(i) * 1001
	}
	copy(m.identity[:], "sixteen bytes it")
	slot := m.encode()
	var got mark
	if err := got.decode(slot); err != nil || got != m {
		t.Fatalf("read %+v (%v), want %+v", got, err, m)
	}
	for bit := range 8 * len(slot) {
		slot[bit/8] ^= 1 << (bit % 8)
		if got.decode(slot) == nil {
			t.Fatalf("a slot is read although bit %d has changed", bit)
		}
		slot[bit/8] ^= 1 << (bit % 8)
	}
	for n := range slot {
		if got.decode(slot[:n]) == nil {
			t.Fatalf("%d bytes are read as a slot", n)
		}
	}
}

// TestMarkIsWrittenWhenSomethingChanged: it says all that is durable, alternates
// between its slots, and an idle store writes nothing.
func TestMarkIsWrittenWhenSomethingChanged(t *testing.T) {
	disk := vfs.NewMem()
	s := mustOpen(t, Options{Queues: 2, FS: disk, markPause: time.Hour})
	read := func() mark {
		t.Helper()
		m, damaged, err := readMark(disk, markPath("data"))
		if err != nil || damaged != 0 {
			t.Fatal(err, damaged)
		}
		return m
	}
	begin := read()
	if begin.identity != s.Identity() || begin.total() != 0 || begin.ceiling < defaultBlock {
		t.Fatalf("a new store has the mark %+v", begin)
	}
	for id := uint64(1); id <= 5; id++ {
		mustSend(t, s, 1, 1, 2+id, 1)
	}
	if got := read(); got != begin {
		t.Fatalf("the mark was written between its times: %+v", got)
	}
	if err := s.mark.write(); err != nil {
		t.Fatal(err)
	}
	after := read()
	if all, err := readAllCommits(s.db); err != nil || after.total() != 5 || after.stamp != all.stamp() || after.generation != begin.generation+1 {
		t.Fatalf("after five commits the mark is %+v, the store has %v (%v)", after, all, err)
	}
	if err := s.mark.write(); err != nil {
		t.Fatal(err)
	}
	if got := read(); got != after {
		t.Fatalf("nothing happened, and the mark was written again: %+v", got)
	}
	mustSend(t, s, 1, 1, 2, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := read(); got.total() != 6 {
		t.Fatalf("after Close the mark has %d commits, want 6", got.total())
	}
}

// TestNoSeqAboveTheCeiling: a message whose seq is above what the mark allows waits
// until the mark allows it, and nobody else waits.
func TestNoSeqAboveTheCeiling(t *testing.T) {
	disk := vfs.NewCrashableMem()
	var armed atomic.Bool
	release := make(chan struct{})
	fs := onMark(disk, &armed, func() error { <-release; return nil }, errorfs.OpFileSyncData)
	s := mustOpen(t, Options{Queues: 1, FS: fs, block: checkpoint, markPause: time.Hour})
	ceiling := s.mark.ceiling.Load()
	armed.Store(true)
	for id := uint64(1); id <= ceiling; id++ {
		mustSend(t, s, 1, 1, 2, id) // the ceiling is being raised, and nobody waits
	}
	done := make(chan error, 1)
	b := new(entries).send(1, 1, 2, ceiling+1)
	go func() { done <- b.applyTo(t, s) }()
	for n := uint64(1); n <= 100; n++ {
		left := disk.CrashClone(vfs.CrashCloneCfg{})
		m, _, err := readMark(left, markPath("data"))
		if err != nil || m.ceiling != ceiling {
			t.Fatalf("the mark has the ceiling %d (%v), which no sync has made durable", m.ceiling, err)
		}
		if head := headOf(t, s, direct(1, 2)); head != ceiling {
			t.Fatalf("the head is %d, above the ceiling %d", head, ceiling)
		}
		select {
		case err := <-done:
			t.Fatalf("seq %d was given out above the ceiling (%v)", b.Entries[0].Seq, err)
		default:
		}
	}
	armed.Store(false)
	close(release)
	if err := <-done; err != nil || b.Entries[0].Seq != ceiling+1 {
		t.Fatalf("the message got %+v (%v), want seq %d", b.Entries[0], err, ceiling+1)
	}
	if got := s.mark.ceiling.Load(); got < ceiling+checkpoint {
		t.Errorf("the ceiling is %d after %d", got, ceiling)
	}
}

// TestMarkFails: a store that cannot write its mark fails as one that cannot write its
// log, whenever it is.
func TestMarkFails(t *testing.T) {
	broken := errors.New("the disk is gone")
	for name, kind := range map[string]errorfs.OpKind{"writing": errorfs.OpFileWriteAt, "syncing": errorfs.OpFileSyncData} {
		t.Run(name, func(t *testing.T) {
			var armed atomic.Bool
			disk := vfs.NewCrashableMem()
			fs := onMark(disk, &armed, func() error { return broken }, kind)
			opts := Options{Queues: 1, FS: fs, Log: slog.New(slog.DiscardHandler), markPause: time.Millisecond, block: checkpoint}

			armed.Store(true)
			for range 2 {
				if s, err := Open("data", opts); !errors.Is(err, broken) || !strings.Contains(err.Error(), "the mark") {
					t.Fatalf("Open gives %v, %v", s, err)
				}
			}
			armed.Store(false)
			s, err := Open("data", opts)
			if err != nil {
				t.Fatal(err)
			}
			mustSend(t, s, 1, 1, 2, 1)
			armed.Store(true)
			sent, err := uint64(1), error(nil)
			for err == nil { // in the background, at the latest when the ceiling is to be raised
				err = new(entries).send(1, 1, 2, sent+1).applyTo(t, s)
				if err == nil {
					sent++
				}
			}
			if <-s.Failed(); !errors.Is(s.Err(), broken) || !errors.Is(err, logic.ErrUnavailable) {
				t.Errorf("the store failed with %v, the send with %v", s.Err(), err)
			}
			if err := s.Close(); !errors.Is(err, broken) {
				t.Errorf("Close gives %v", err)
			}
			// All that was acked is there.
			s = mustOpen(t, Options{Queues: 1, FS: disk.CrashClone(vfs.CrashCloneCfg{})})
			if head := headOf(t, s, direct(1, 2)); head != sent {
				t.Errorf("the head is %d, acked were %d", head, sent)
			}
		})
	}
	t.Run("at the end", func(t *testing.T) {
		var armed atomic.Bool
		fs := onMark(vfs.NewMem(), &armed, func() error { return broken }, errorfs.OpFileSyncData)
		s, err := Open("data", Options{Queues: 1, FS: fs, markPause: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		mustSend(t, s, 1, 1, 2, 1)
		armed.Store(true)
		if err := s.Close(); !errors.Is(err, broken) {
			t.Errorf("Close gives %v", err)
		}
		armed.Store(false)
		if s = mustOpen(t, Options{Queues: 1, FS: fs}); headOf(t, s, direct(1, 2)) != 1 {
			t.Error("the message is not there")
		}
	})
}

// TestStaleToken: a ceiling that was raised already is not raised once more, whoever
// asked for it.
func TestStaleToken(t *testing.T) {
	s := mustOpen(t, Options{Queues: 1, FS: vfs.NewMem(), block: checkpoint, markPause: time.Hour})
	for id := uint64(1); id <= 5*checkpoint; id++ {
		seq := mustSend(t, s, 1, 1, 2, id).Seq
		for range 3 { // the third is taken in once the first is done with
			s.mark.low <- struct{}{}
		}
		if c := s.mark.ceiling.Load(); c > seq+2*checkpoint {
			t.Fatalf("the ceiling is %d, %d above the highest seq", c, c-seq)
		}
	}
}
