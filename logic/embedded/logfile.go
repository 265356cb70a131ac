package embedded

import (
	"math"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A sync that finds the log longer than at the last one also has to write its
// new size, which goes through the journal of the file system: on ext4 that is
// about a third of the time (BenchmarkLogSync). So a sync that reaches the
// end of the file fills a stretch ahead with zeros, and those until then find the
// size as it was. Pebble gets the same from logs that it uses again, but begins
// each run with new ones; and it takes zeros for the end of a log.
const (
	// logAhead is how much is filled at once: one sync in some fifty is slower by
	// less than a millisecond.
	logAhead = 256 << 10

	// logSmall is the most that a sync may have written for the zeros to pay: with
	// more it is the bytes that take the time.
	logSmall = 32 << 10

	// logCategory is what Pebble calls its log files.
	logCategory = vfs.DiskWriteCategory("pebble-wal")
)

var zeros [logAhead]byte

// logFS is a file system on which the log is filled ahead.
type logFS struct{ vfs.FS }

func (fs logFS) Unwrap() vfs.FS { return fs.FS }

func (fs logFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	if err != nil || category != logCategory {
		return f, err
	}
	return &logFile{File: f}, nil
}

func (fs logFS) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.ReuseForWrite(old, name, category)
	if err != nil || category != logCategory {
		return f, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &logFile{File: f, size: info.Size()}, nil
}

// logFile is a log that is being written, by one goroutine at a time.
type logFile struct {
	vfs.File
	size   int64 // of the file, with what was filled ahead
	at     int64 // where the next Write goes
	synced int64 // at the last sync
}

func (f *logFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.at += int64(n)
	return n, err
}

func (f *logFile) Sync() error {
	f.fill()
	return f.File.Sync()
}

func (f *logFile) SyncData() error {
	f.fill()
	return f.File.SyncData()
}

// fill lengthens the file before a sync that would do so anyway.
func (f *logFile) fill() {
	small := f.at-f.synced <= logSmall
	f.synced = f.at
	if f.at <= f.size || !small {
		return
	}
	f.size = f.at + logAhead
	if _, err := f.WriteAt(zeros[:], f.at); err != nil {
		f.size = math.MaxInt64 // what was asked for is written; a full disk will be met by the next Write
	}
}
