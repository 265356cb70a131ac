package embedded

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// reading is the file system of a start that reads. It knows which of the files was
// opened last whose names Pebble's errors do not say.
type reading struct {
	vfs.FS
	last atomic.Pointer[string]
}

// Open implements vfs.FS.
func (r *reading) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if isLog(name) || isSettings(r.PathBase(name)) {
		r.last.Store(&name)
	}
	return r.FS.Open(name, opts...)
}

func isSettings(name string) bool { return strings.HasPrefix(name, "OPTIONS-") }

var (
	lostTable = regexp.MustCompile(`file (\d+) \(type sstable\) unknown`)
	badMarker = regexp.MustCompile(`invalid marker filename: "([^"]*)"`)
)

// blame gives an error of Pebble's the name of the file that it is about, where it says
// only a part of it.
func (r *reading) blame(err error) error {
	text := err.Error()
	last := ""
	if at := r.last.Load(); at != nil {
		last = *at
	}
	switch {
	case lostTable.MatchString(text):
		return fmt.Errorf("the table %s.sst is missing: %w", lostTable.FindStringSubmatch(text)[1], err)
	case badMarker.MatchString(text):
		return fmt.Errorf("the file marker.%s is none of a store's: %w", badMarker.FindStringSubmatch(text)[1], err)
	case errors.Is(err, pebble.ErrDBNotPristine):
		return fmt.Errorf("the file marker.format-version.* is missing: %w", err)
	case strings.Contains(text, "replaying WAL") && isLog(last):
		return fmt.Errorf("the write-ahead log %s is damaged: %w", r.PathBase(last), err)
	case strings.Contains(text, "syntax") && isSettings(r.PathBase(last)):
		return fmt.Errorf("the file %s is damaged, and without it a start writes it anew: %w", r.PathBase(last), err)
	}
	return err
}

// isPassing says whether an error is one of the machine and not of what is in the
// folder: it may be gone at the next start, or with another disk or cable.
func isPassing(err error) bool {
	return slices.ContainsFunc([]error{syscall.EIO, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE}, func(kind error) bool { return errors.Is(err, kind) })
}

// advised says after an error that is none of what is in the folder what can be done.
func advised(err error) error {
	if err == nil {
		return nil
	}
	what := ""
	switch {
	case errors.Is(err, ErrDamaged), errors.Is(err, ErrFormat), errors.Is(err, errCorrupt): // they say it
	case errors.Is(err, iofs.ErrPermission):
		what = "give the user that runs gannet the right to read and to write it, and start again"
	case isFull(err):
		what = "make room, and start again"
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EIO):
		what = "look at what the kernel says of this disk, keep a copy of the folder, and start again"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		what = "raise the limit of open files, and start again"
	case errors.Is(err, syscall.ENOMEM):
		what = "make memory free, and start again"
	case errors.Is(err, syscall.ENOTDIR):
		what = "move what is there out of the way, and start again"
	}
	if what == "" {
		return err
	}
	return fmt.Errorf("%w; %s", err, what)
}
