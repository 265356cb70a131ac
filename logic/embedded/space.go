package embedded

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// DefaultMinFree is the free space below which messages are refused: every table in
// memory may still have to be written once, and each compaction under way writes
// anew what it reads, some 256 MiB.
const DefaultMinFree = 1 << 30

const (
	// spaceTick is how often free space is looked at, for what others write there.
	spaceTick = time.Second

	// lookShare is which part of MinFree messages may take until it is looked at again:
	// however fast the disk and small MinFree, logs and the tables that they become
	// take an eighth of it at most before messages are refused.
	lookShare = 16

	// cursorShare is which part of MinFree is kept from acks and reads as well. They
	// are small, so it lasts for long; without it they could end in a full disk.
	cursorShare = 4

	// resumeShare is which part of MinFree must be free beyond it for messages to be
	// taken again, so that they do not come and go with every compaction.
	resumeShare = 8

	// startRoom is what a start needs beside what it writes out of logs, where messages
	// are refused with so little free anyhow; a smaller MinFree wants less. leastRoom is
	// what a start writes by itself: a manifest, settings, a mark and the beginning of a
	// log, which are some ten KiB, and the first messages.
	startRoom = 64 << 20
	leastRoom = 1 << 20
)

// ErrFull says that the disk has too little room for a start.
var ErrFull = errors.New("the disk is full")

// checkRoom refuses to open a store whose logs could not be written out: Pebble
// would try for ever, or end with words of its own. That holds without a MinFree too,
// which is about messages.
func checkRoom(fs vfs.FS, dir string, minFree int64) error {
	usage, err := diskUsage(fs, dir)
	if err != nil {
		return nil // a file system that does not say: Open will tell
	}
	logs := logBytes(fs, dir)
	need := logs + uint64(max(leastRoom, min(startRoom, minFree/cursorShare)))
	if usage.AvailBytes >= need {
		return nil
	}
	return fmt.Errorf("%w: %s has %s free and a start needs %s, of which %s are logs to be written out; make room, or move the data folder to a larger disk: nothing is lost",
		ErrFull, dir, size(usage.AvailBytes), size(need), size(logs))
}

// diskUsage looks at the disk of a folder, which may have to be made yet.
func diskUsage(fs vfs.FS, dir string) (vfs.DiskUsage, error) {
	for {
		usage, err := fs.GetDiskUsage(dir)
		above := fs.PathDir(dir)
		if !errors.Is(err, iofs.ErrNotExist) || above == dir {
			return usage, err
		}
		dir = above
	}
}

// logBytes gives how much of the write-ahead logs a start may have to write out: not
// more than fits the tables in memory, whatever lies there beside.
func logBytes(fs vfs.FS, dir string) (n uint64) {
	names, err := fs.List(dir)
	if err != nil {
		return 0
	}
	for _, name := range names {
		if !isLog(name) {
			continue
		}
		if info, err := fs.Stat(fs.PathJoin(dir, name)); err == nil {
			n += uint64(info.Size())
		}
	}
	return min(n, memTables*memTableSize)
}

// size says a number of bytes as people do.
func size(bytes uint64) string {
	if bytes < 10<<20 {
		return fmt.Sprintf("%d KiB", bytes>>10)
	}
	return fmt.Sprintf("%d MiB", bytes>>20)
}
