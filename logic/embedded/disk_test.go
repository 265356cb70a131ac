package embedded

import (
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"gannet/logic"
)

// faulty wraps a file system: once armed, operations that it concerns get the error.
type faulty struct {
	armed atomic.Bool
	met   atomic.Int64 // how often it came to that
	err   error
	at    func(op errorfs.Op) bool
	half  bool // half of what is written to a log is, instead
}

func (f *faulty) wrap(disk vfs.FS) vfs.FS {
	if f.half {
		return newLogs{halves{disk, f}}
	}
	return newLogs{errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !f.armed.Load() || !f.at(op) {
			return nil
		}
		f.met.Add(1)
		return &fs.PathError{Op: op.Kind.ReadOrWrite().String(), Path: op.Path, Err: f.err}
	}))}
}

// newLogs makes a new file of each log that Pebble would use again: a file that is used
// again meets no fault, whatever is done with it.
type newLogs struct{ vfs.FS }

func (n newLogs) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := n.Remove(old); err != nil {
		return nil, err
	}
	return n.Create(name, category)
}

// halves is a file system that may write half of what it should to a log.
type halves struct {
	vfs.FS
	fault *faulty
}

func (h halves) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := h.FS.Create(name, category)
	if err == nil && isLog(name) {
		f = &halfFile{f, h.fault}
	}
	return f, err
}

type halfFile struct {
	vfs.File
	fault *faulty
}

func (f *halfFile) Write(b []byte) (int, error) {
	if !f.fault.armed.Load() {
		return f.File.Write(b)
	}
	f.fault.met.Add(1)
	n, err := f.File.Write(b[:len(b)/2])
	if err == nil {
		err = io.ErrShortWrite
	}
	return n, err
}

func isSync(op errorfs.Op) bool {
	return op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
}

func isManifest(op errorfs.Op) bool { return strings.HasPrefix(filepath.Base(op.Path), "MANIFEST-") }

// TestTablesWithoutRoom: a flush or a compaction that finds no room is tried again,
// not at full speed, and goes on when there is some; meanwhile nothing is lost.
func TestTablesWithoutRoom(t *testing.T) {
	fault := &faulty{err: syscall.ENOSPC, at: func(op errorfs.Op) bool { return isTable(op.Path) && op.Kind == errorfs.OpFileWrite }}
	fault.armed.Store(true)
	s := mustOpen(t, Options{Queues: 1, FS: fault.wrap(vfs.NewMem()), Log: slog.New(slog.DiscardHandler), tune: smallTables})
	id := uint64(0)
	send := func() logic.Entry {
		id++
		b := new(entries).large(1, 1, 2, id, 4<<10)
		if err := b.applyTo(t, s); err != nil {
			t.Fatal(err)
		}
		return b.Entries[0]
	}
	last := uint64(0)
	for e := send(); e.Outcome != logic.Refused; e = send() {
		if last = e.Seq; last > 10_000 {
			t.Fatal("10,000 messages of 4 KiB are taken while nothing can be written out")
		}
	}
	await(t, "a flush is tried again", func() bool { return s.Stats()["failed.flush"] >= 3 })
	if met := fault.met.Load(); met > 10 {
		t.Errorf("three flushes met the full disk %d times", met)
	}
	if err := s.Err(); err != nil {
		t.Fatalf("the store has failed: %v", err)
	}
	if head := headOf(t, s, direct(1, 2)); head != last {
		t.Errorf("the head is %d, want %d", head, last)
	}
	fault.armed.Store(false)
	var e logic.Entry
	await(t, "messages are taken again", func() bool { e = send(); return e.Outcome == logic.Applied })
	if e.Seq != last+1 {
		t.Errorf("the next one got seq %d, want %d", e.Seq, last+1)
	}
}

// TestCloseDoesNotWaitForTables: what cannot be written out in time is in the logs.
func TestCloseDoesNotWaitForTables(t *testing.T) {
	disk := vfs.NewCrashableMem()
	hang := make(chan struct{})
	defer close(hang)
	s, err := Open("data", Options{Queues: 1, FS: onTable(disk, func() error { <-hang; return nil }), Log: slog.New(slog.DiscardHandler), tune: smallTables})
	if err != nil {
		t.Fatal(err)
	}
	s.closePatience = 1
	last := uint64(0)
	for id := uint64(1); ; id++ {
		b := new(entries).large(1, 1, 2, id, 4<<10)
		if err := b.applyTo(t, s); err != nil {
			t.Fatal(err)
		}
		if b.Entries[0].Outcome == logic.Refused {
			break
		}
		last = b.Entries[0].Seq
	}
	within(t, "the store closes", func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s = mustOpen(t, Options{Queues: 1, FS: disk.CrashClone(vfs.CrashCloneCfg{}), tune: smallTables})
	if head := headOf(t, s, direct(1, 2)); head != last {
		t.Errorf("the head is %d, want %d", head, last)
	}
}
