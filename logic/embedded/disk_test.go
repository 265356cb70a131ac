package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

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
}

func (f *faulty) wrap(disk vfs.FS) vfs.FS {
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

func isSync(op errorfs.Op) bool {
	return op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
}

func isManifest(op errorfs.Op) bool { return strings.Contains(op.Path, "MANIFEST") }

// TestDiskFails: whatever of Pebble's writing fails, the store fails with the name of
// the file, in order and while others wait; what was acked is there afterwards.
func TestDiskFails(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		file string // that the failure names
		at   func(op errorfs.Op) bool
	}{
		{"the next log cannot be begun for want of room", syscall.ENOSPC, ".log", func(op errorfs.Op) bool {
			return isLog(op.Path) && (op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpReuseForWrite)
		}},
		{"the next log cannot be begun in a folder that is read-only", syscall.EROFS, ".log", func(op errorfs.Op) bool {
			return isLog(op.Path) && (op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpReuseForWrite)
		}},
		{"a log has no room", syscall.ENOSPC, ".log", func(op errorfs.Op) bool { return isLog(op.Path) && op.Kind == errorfs.OpFileWrite }},
		{"a log cannot be synced", syscall.EIO, ".log", func(op errorfs.Op) bool { return isLog(op.Path) && isSync(op) }},
		{"a table cannot be synced", syscall.EIO, ".sst", func(op errorfs.Op) bool { return isTable(op.Path) && isSync(op) }},
		{"the manifest has no room", syscall.ENOSPC, "MANIFEST", func(op errorfs.Op) bool { return isManifest(op) && op.Kind == errorfs.OpFileWrite }},
		{"the manifest cannot be synced", syscall.EIO, "MANIFEST", func(op errorfs.Op) bool { return isManifest(op) && isSync(op) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := vfs.NewCrashableMem()
			fault := &faulty{err: c.err, at: c.at}
			s, err := Open("data", Options{Queues: 4, FS: fault.wrap(disk), Log: slog.New(slog.DiscardHandler), tune: smallTables})
			if err != nil {
				t.Fatal(err)
			}
			for peer := uint64(20); peer < 28; peer++ { // acks that wait in every queue
				mustSend(t, s, 1, 1, peer, 1)
				new(entries).ack(peer, 1, 1, 1).mustApply(t, s)
			}
			acked := make([]atomic.Uint64, 9) // by peer
			for peer := uint64(2); peer < 9; peer++ {
				go func() { // may stay in Pebble for ever
					for id := uint64(1); s.Err() == nil; id++ {
						b := new(entries).large(1, 1, peer, id, 4<<10)
						b.Queue = s.queueOf(b.Entries[0].Conversation).index
						if s.Apply(t.Context(), []*logic.Batch{&b.Batch}) == nil && b.Err == nil && b.Entries[0].Outcome == logic.Applied {
							acked[peer].Store(b.Entries[0].Seq)
						} else if b.Entries[0].Outcome == logic.Refused {
							time.Sleep(time.Millisecond) // as a client would
						}
					}
				}()
			}
			await(t, "something is acked", func() bool { return acked[2].Load() > 10 })
			fault.armed.Store(true)
			within(t, "the store fails", func() { <-s.Failed() })
			if err := s.Err(); !errors.Is(err, logic.ErrUnavailable) || !strings.Contains(err.Error(), c.file) || !strings.Contains(err.Error(), c.err.Error()) {
				t.Errorf("the failure is %q; want the file %s and %q in it", err, c.file, c.err)
			}
			within(t, "the store closes", func() {
				if err := s.Close(); err == nil {
					t.Error("Close says that all is well")
				}
			})
			if fault.met.Load() == 0 {
				t.Error("the fault was not met")
			}

			var want [9]uint64 // what was acked before the crash; a commit may still be under way
			for peer := range want {
				want[peer] = acked[peer].Load()
			}
			again := mustOpen(t, Options{Queues: 4, FS: disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(1, 2))}), tune: smallTables})
			for peer := uint64(2); peer < 9; peer++ {
				if head := headOf(t, again, direct(1, peer)); head < want[peer] {
					t.Errorf("of the conversation with %d %d messages are there, %d were acked", peer, head, want[peer])
				}
			}
		})
	}
}

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

// TestStartFails: a start that cannot write says why and ends.
func TestStartFails(t *testing.T) {
	for _, c := range []struct {
		name string
		at   func(op errorfs.Op) bool
	}{
		{"the manifest cannot be written", func(op errorfs.Op) bool { return isManifest(op) && op.Kind == errorfs.OpFileWrite }},
		{"the manifest cannot be synced", func(op errorfs.Op) bool { return isManifest(op) && isSync(op) }},
		{"a log cannot be begun", func(op errorfs.Op) bool { return isLog(op.Path) && op.Kind == errorfs.OpCreate }},
		{"a log cannot be written", func(op errorfs.Op) bool { return isLog(op.Path) && op.Kind == errorfs.OpFileWrite }},
		{"a table cannot be written", func(op errorfs.Op) bool { return isTable(op.Path) && op.Kind == errorfs.OpFileWrite }},
	} {
		for n := range 4 {
			fresh, errno := n%2 == 0, []syscall.Errno{syscall.EIO, syscall.ENOSPC}[n/2]
			t.Run(fmt.Sprintf("%s: %v, fresh %v", c.name, errno, fresh), func(t *testing.T) {
				disk := vfs.NewCrashableMem()
				fault := &faulty{err: errno, at: c.at}
				opts := Options{Queues: 1, FS: fault.wrap(disk), Log: slog.New(slog.DiscardHandler), tune: smallTables}
				last := uint64(0)
				if !fresh {
					s, err := Open("data", opts)
					if err != nil {
						t.Fatal(err)
					}
					for id := uint64(1); id <= 20; id++ {
						last = new(entries).large(1, 1, 2, id, 4<<10).mustApply(t, s)[0].Seq
					}
					disk = disk.CrashClone(vfs.CrashCloneCfg{})
					opts.FS = fault.wrap(disk)
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
				}
				fault.armed.Store(true)
				within(t, "the start ends", func() {
					s, err := Open("data", opts)
					if err == nil { // there was nothing of the kind to write until the end
						if met := fault.met.Load(); met > 0 && s.Err() == nil {
							t.Errorf("the start met the fault %d times and goes on", met)
						}
						if err = s.Close(); err == nil && fault.met.Load() == 0 {
							return
						}
					}
					if err == nil || !strings.Contains(err.Error(), errno.Error()) {
						t.Errorf("it ends with %v, want %q in it", err, errno)
					}
				})
				opts.FS = disk.CrashClone(vfs.CrashCloneCfg{})
				s := mustOpen(t, opts)
				if head := headOf(t, s, direct(1, 2)); head != last {
					t.Errorf("the head is %d, want %d", head, last)
				}
			})
		}
	}
}

// TestStartCannotRead: what the machine does not give for the moment is no loss, and
// nothing is to be restored.
func TestStartCannotRead(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE} {
		for _, kind := range []errorfs.OpKind{errorfs.OpOpen, errorfs.OpFileRead} {
			disk := vfs.NewMem()
			fault := &faulty{err: errno, at: func(op errorfs.Op) bool { return isManifest(op) && op.Kind == kind }}
			opts := Options{Queues: 1, FS: fault.wrap(disk), Log: slog.New(slog.DiscardHandler)}
			s, err := Open("data", opts)
			if err != nil {
				t.Fatal(err)
			}
			mustSend(t, s, 1, 1, 2, 1)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			fault.armed.Store(true)
			if _, err := Open("data", opts); !errors.Is(err, errno) || errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "cannot open") {
				t.Errorf("Open gives %v", err)
			}
			fault.armed.Store(false)
			if s = mustOpen(t, opts); headOf(t, s, direct(1, 2)) != 1 {
				t.Error("the message is not there")
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
