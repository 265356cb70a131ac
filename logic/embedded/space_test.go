package embedded

import (
	"errors"
	"log/slog"
	"slices"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"gannet/logic"
)

// unmarked are options that take messages until the disk is full.
func unmarked(fs vfs.FS) Options {
	return Options{Queues: 1, FS: fs, MinFree: -1, Log: slog.New(slog.DiscardHandler)}
}

// narrow is a disk in memory with this much free. As a real one it says so of folders
// that are there alone.
type narrow struct {
	*vfs.MemFS
	free uint64
}

func (n *narrow) GetDiskUsage(dir string) (vfs.DiskUsage, error) {
	if _, err := n.Stat(dir); err != nil {
		return vfs.DiskUsage{}, err
	}
	return vfs.DiskUsage{AvailBytes: n.free}, nil
}

// A start on a disk that is full says so in one sentence and touches nothing, whether
// messages would be refused before the disk is full or not, and whether there is a
// folder yet or not.
func TestStartOnAFullDisk(t *testing.T) {
	disk := &narrow{MemFS: vfs.NewMem(), free: 1 << 40}
	if err := disk.MkdirAll("/host/fresh", 0o700); err != nil {
		t.Fatal(err)
	}
	const there = "/host/there"
	s, err := Open(there, unmarked(disk))
	if err != nil {
		t.Fatal(err)
	}
	last := mustSend(t, s, 1, 1, 2, 1).Seq
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := mustList(t, disk, there)
	disk.free = 4 << 10
	for _, minFree := range []int64{-1, 1, DefaultMinFree} {
		for _, dir := range []string{there, "/host/fresh/db", "/host/fresh/deep/db"} {
			opts := unmarked(disk)
			opts.MinFree = minFree
			if s, err := Open(dir, opts); !errors.Is(err, ErrFull) {
				if err == nil {
					err = s.Close()
				}
				t.Errorf("with a mark of %d a start in %s on a full disk gives %v", minFree, dir, err)
			}
		}
	}
	if after := mustList(t, disk, there); !slices.Equal(after, before) {
		t.Errorf("the folder had %v and has %v", before, after)
	}
	if names := mustList(t, disk, "/host/fresh"); len(names) > 0 {
		t.Errorf("in the folder that was empty there are %v", names)
	}
	disk.free = 2 << 20 // enough for the little that is there, with a mark of 1 GiB not
	if s, err = Open(there, unmarked(disk)); err != nil {
		t.Fatal(err)
	}
	if e := mustSend(t, s, 1, 1, 2, 2); e.Seq != last+1 {
		t.Errorf("the next message got seq %d after %d", e.Seq, last)
	}
	if free := s.Stats()["free_bytes"]; free != disk.free {
		t.Errorf("%d bytes are free, it says %d", disk.free, free)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustList(t *testing.T, fs vfs.FS, dir string) []string {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// Without a mark a disk that fills up ends the store in order: nobody hears that
// something is stored that is not, reading goes on until the end, and what was acked is
// there once there is room.
func TestFullDiskWithoutAMark(t *testing.T) {
	disk := vfs.NewCrashableMem()
	fault := &faulty{err: syscall.ENOSPC, at: func(op errorfs.Op) bool {
		return op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpMkdirAll
	}}
	s, err := Open("data", unmarked(fault.wrap(disk)))
	if err != nil {
		t.Fatal(err)
	}
	last := mustSend(t, s, 1, 1, 2, 1).Seq
	fault.armed.Store(true)
	b := new(entries).send(1, 1, 2, 2)
	within(t, "the store fails", func() {
		if err := b.applyTo(t, s); err == nil {
			t.Errorf("on a full disk a message came to %+v", b.Entries[0])
		}
		<-s.Failed()
	})
	if err := s.Err(); !errors.Is(err, syscall.ENOSPC) || !errors.Is(err, logic.ErrUnavailable) {
		t.Errorf("the store failed with %v", err)
	}
	if head := headOf(t, s, direct(1, 2)); head != last {
		t.Errorf("a reader sees %d messages of %d", head, last)
	}
	within(t, "the store closes", func() { _ = s.Close() })         // whatever it could not write is in its error
	s = mustOpen(t, unmarked(disk.CrashClone(vfs.CrashCloneCfg{}))) // as the next process, for this one has it locked
	if head := headOf(t, s, direct(1, 2)); head != last {
		t.Errorf("after a start there are %d messages of %d", head, last)
	}
}
