package embedded

import (
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A flush writes a whole memtable as fast as one core can: with 64 MiB half a
// second, in which messages wait, since half a core has gone. It may take far
// longer, as the next memtable has to be full first. So it is held to 1/paceMore
// more than what is committed meanwhile, plus paceFloor, in pieces that take less
// than a millisecond of CPU time each.
const (
	paceMore  = 4        // done when four fifths of the next memtable are full
	paceFloor = 1 << 20  // bytes a second: done in a minute when nothing comes any more
	paceAhead = 64 << 10 // bytes that may be written at once
	paceRest  = 2 * time.Millisecond

	// flushCategory is what Pebble calls the files that a flush writes.
	flushCategory = vfs.DiskWriteCategory("pebble-memtable-flush")
)

// pace is how fast flushes may write.
type pace struct {
	committed atomic.Int64 // bytes, since the store was opened
	held      atomic.Int64 // how often a flush had to rest
	off       atomic.Bool  // the store opens or closes and waits for them
}

// pacedFS is a file system on which flushes keep to the pace.
type pacedFS struct {
	vfs.FS
	pace *pace
}

func (fs pacedFS) Unwrap() vfs.FS { return fs.FS }

func (fs pacedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	if err != nil || category != flushCategory {
		return f, err
	}
	return &pacedFile{File: f, pace: fs.pace, began: time.Now(), committed: fs.pace.committed.Load()}, nil
}

// pacedFile is a table that a flush writes.
type pacedFile struct {
	vfs.File
	pace      *pace
	began     time.Time
	committed int64 // when it began
	written   int64
}

func (f *pacedFile) Write(p []byte) (int, error) {
	for !f.pace.off.Load() && f.written > allowed(f.pace.committed.Load()-f.committed, time.Since(f.began)) {
		f.pace.held.Add(1)
		time.Sleep(paceRest)
	}
	f.written += int64(len(p))
	return f.File.Write(p)
}

// allowed gives how many bytes may have been written when so many were committed
// in so much time.
func allowed(committed int64, in time.Duration) int64 {
	return paceAhead + committed + committed/paceMore + int64(paceFloor*in.Seconds())
}
