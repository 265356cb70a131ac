package embedded

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// disk stands between Pebble and the file system where Pebble would end the process
// or turn in circles over an error.
//
// A write-ahead log that cannot be written, closed or begun leaves Pebble's locks in
// a state in which its next step is a fatal error of the runtime, which no recover
// catches and whose message says nothing. So such an error is the store's failure,
// with the name of the file, and whoever would go on from there stays where it is
// until the process ends.
type disk struct {
	vfs.FS
	fail    func(cause error) error
	failure <-chan struct{} // the store has failed
	closing <-chan struct{}
	tables  pause // after one that could not be written
}

// forEver is how long what must not go on waits: until the process ends.
func forEver() { select {} }

func (d *disk) hasFailed() bool {
	select {
	case <-d.failure:
		return true
	default:
		return false
	}
}

// isLog and isTable say what kind of file of Pebble's a name is of.
func isLog(name string) bool   { return strings.HasSuffix(name, ".log") }
func isTable(name string) bool { return strings.HasSuffix(name, ".sst") }

// Create implements vfs.FS.
func (d *disk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if isTable(name) {
		d.wait()
	}
	f, err := d.FS.Create(name, category)
	return d.created(f, name, err)
}

// ReuseForWrite implements vfs.FS.
func (d *disk) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.ReuseForWrite(old, name, category)
	return d.created(f, name, err)
}

func (d *disk) created(f vfs.File, name string, err error) (vfs.File, error) {
	switch {
	case isLog(name) && err != nil:
		d.fail(fmt.Errorf("a write-ahead log could not be begun: %w", named(name, err)))
		forEver()
	case isLog(name):
		return &logFile{File: f, disk: d, name: name}, nil
	case isTable(name) && err != nil:
		d.tableFailed()
	case isTable(name):
		return &tableFile{File: f, disk: d}, nil
	}
	return f, err
}

// OpenDir implements vfs.FS.
func (d *disk) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &folder{File: f, disk: d, name: name}, nil
}

// wait keeps back a table after one that could not be written. Once the store has
// failed nothing is written any more.
func (d *disk) wait() {
	if d.hasFailed() {
		forEver()
	}
	left := d.tables.left()
	if left == 0 {
		return
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-d.closing:
	case <-d.failure:
		forEver()
	}
}

func (d *disk) tableFailed() { d.tables.begin() }

// logFile is a write-ahead log that is being written.
type logFile struct {
	vfs.File
	disk *disk
	name string
}

func (f *logFile) note(err error) {
	if err != nil {
		f.disk.fail(fmt.Errorf("a write-ahead log could not be written: %w", named(f.name, err)))
	}
}

// Write implements vfs.File. Pebble hands the error to those who wait for the write.
func (f *logFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	f.note(err)
	return n, err
}

// Sync implements vfs.File.
func (f *logFile) Sync() error {
	err := f.File.Sync()
	f.note(err)
	return err
}

// SyncData implements vfs.File.
func (f *logFile) SyncData() error {
	err := f.File.SyncData()
	f.note(err)
	return err
}

// Close implements vfs.File. Pebble closes a log to begin the next one, and after an
// error would panic with its lock in the wrong state.
func (f *logFile) Close() error {
	err := f.File.Close()
	f.note(err)
	if f.disk.hasFailed() {
		forEver()
	}
	return err
}

// tableFile is a table that is being written.
type tableFile struct {
	vfs.File
	disk *disk
}

// Write implements vfs.File.
func (f *tableFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	if err != nil {
		f.disk.tableFailed()
	}
	return n, err
}

// Sync implements vfs.File.
func (f *tableFile) Sync() error {
	err := f.File.Sync()
	if err != nil {
		f.disk.tableFailed()
	}
	return err
}

// SyncData implements vfs.File.
func (f *tableFile) SyncData() error {
	err := f.File.SyncData()
	if err != nil {
		f.disk.tableFailed()
	}
	return err
}

// onStack says whether a function that fits is on the stack of the goroutine.
func onStack(fits func(function string) bool) bool {
	var pcs [128]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if fits(f.Function) {
			return true
		}
		if !more {
			return false
		}
	}
}

// folder is a folder of Pebble's, which it syncs after each new log.
type folder struct {
	vfs.File
	disk *disk
	name string
}

// Sync implements vfs.File.
func (f *folder) Sync() error {
	err := f.File.Sync()
	if err != nil {
		f.disk.fail(fmt.Errorf("a new file could not be made durable: %w", named(f.name, err)))
		forEver()
	}
	return err
}

// named gives an error the name of its file, unless it says it already.
func named(file string, err error) error {
	if strings.Contains(err.Error(), filepath.Base(file)) {
		return err
	}
	return fmt.Errorf("%s: %w", file, err)
}

// openPebble opens the database. An error that Pebble holds for fatal is the store's
// failure, and ends the wait for it; the goroutine that met it stays behind.
func (s *Store) openPebble(dir string, settings *pebble.Options) (db *pebble.DB, err error) {
	opened := make(chan struct{})
	go func() {
		defer close(opened)
		defer func() {
			if cause := recover(); cause != nil {
				err = fmt.Errorf("pebble: %v", cause)
			}
		}()
		db, err = pebble.Open(dir, settings)
	}()
	select {
	case <-opened:
		return db, err
	case <-s.failure:
		return nil, *s.failed.Load()
	}
}
