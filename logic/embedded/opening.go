package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	iofs "io/fs"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Opening goes in two steps. The first opens the database read-only, which deletes and
// writes nothing, and compares it with the mark: whatever is missing, the folder stays
// as it is for whoever can mend it. Only when nothing is missing, or when what is
// missing was given up by its code, the second opens it to be written.
//
// The write-ahead log is replayed by both steps, one after the other, each time into as
// much memory as it held before: that of the tables that were not flushed, memTables of
// memTableSize at most. The first step writes no tables and takes less than half of the
// time, half a second for 20 MB of log where the whole start takes 1.7 s. It is paid at
// every start: what has to be known before anything is written is exactly what the
// replay finds, and a start without it would have to trust the files that are in doubt.

// LossError says that something that was acked is missing, or that nothing can tell
// that it is not. Nothing was changed. It is an ErrLost.
type LossError struct {
	Missing string // what, as a sentence without its end

	// Code stands for exactly this loss. Options.GiveUp takes it; with the next loss it
	// is worth nothing. Empty where Pebble cannot open what is there.
	Code string

	dir   string
	cause error
}

// Error says what is missing and what helps.
func (e *LossError) Error() string {
	advice := "restore a backup of it, and leave " + markPath(e.dir) + " as it is"
	if e.Code == "" {
		advice += "; or move it out of the way, keep it, and start again: that start says how to go on without it"
	}
	return e.Missing + "; nothing was changed. What helps: " + advice
}

// Unwrap gives ErrLost and what is behind it.
func (e *LossError) Unwrap() []error {
	if e.cause == nil {
		return []error{ErrLost}
	}
	return []error{ErrLost, e.cause}
}

// opening is a store that is about to be opened.
type opening struct {
	store *Store
	dir   string
	opts  Options
	lock  *pebble.Lock // nil: there is no folder

	mark      mark
	marked    bool  // there is a mark that can be read
	markError error // why it cannot, if there is one
	torn      bool  // one of its slots cannot be read

	reading reading

	there bool // there is a database
	found contents

	// givenUp says that something is missing that was given up.
	givenUp *LossError
}

// contents is what a database says about itself.
type contents struct {
	empty    bool // it holds nothing at all
	identity [16]byte
	commits  allCommits
	floor    uint64
	resync   uint64 // a since up to it counts as 0, or stillLeftOut: see keyResync
}

// examine looks at the folder, changes nothing, and refuses it if something is missing
// that was not given up. It locks the folder for whoever opens it.
func (s *Store) examine(dir string, opts Options) (*opening, error) {
	o := &opening{store: s, dir: dir, opts: opts, reading: reading{FS: opts.FS}}
	if err := o.examine(); err != nil {
		return nil, errors.Join(err, o.unlock())
	}
	return o, nil
}

func (o *opening) examine() error {
	if info, err := o.opts.FS.Stat(o.dir); err == nil {
		if !info.IsDir() {
			return o.explain(syscall.ENOTDIR)
		}
		if o.lock, err = pebble.LockDirectory(o.dir, o.opts.FS); err != nil {
			return o.explain(err)
		}
	} else if !errors.Is(err, iofs.ErrNotExist) {
		return o.explain(err)
	}
	if err := o.readMark(); err != nil {
		return err
	}
	if o.lock != nil {
		if err := o.look(); err != nil {
			return err
		}
	}
	loss := o.judge()
	switch {
	case loss == nil && o.opts.GiveUp != "":
		o.opts.Log.Warn("embedded: nothing is missing, so nothing is given up; start without the code", "folder", o.dir)
	case loss != nil && loss.Code != "" && loss.Code == o.opts.GiveUp:
		o.givenUp = loss
	case loss != nil:
		return loss
	}
	return nil
}

func (o *opening) readMark() error {
	path := markPath(o.dir)
	m, damaged, err := readMark(o.opts.FS, path)
	switch {
	case err == nil:
		o.mark, o.marked, o.torn = m, true, damaged > 0
	case errors.Is(err, iofs.ErrNotExist):
	case errors.Is(err, errMark):
		o.markError = err
	default:
		return fmt.Errorf("embedded: cannot read the mark %s: %w", path, advised(err))
	}
	if o.torn {
		o.opts.Log.Warn("embedded: one of the two slots of the mark is damaged, as after a crash while it was written; the other one counts", "mark", path)
	}
	return nil
}

// look reads what is in the folder.
func (o *opening) look() error {
	db, err := o.openToRead()
	if errors.Is(err, pebble.ErrDBDoesNotExist) {
		return o.leftovers()
	}
	if err != nil {
		return err
	}
	o.there = true
	if o.found, err = readContents(db); err != nil {
		err = fmt.Errorf("embedded: cannot use %s: %w", o.dir, advised(withFile(err)))
	}
	return errors.Join(err, db.Close())
}

// leftovers refuses a folder that has files with messages and no marker that says
// which of them count: Pebble would begin a new database there and delete them.
func (o *opening) leftovers() error {
	names, err := o.opts.FS.List(o.dir)
	if err != nil {
		return err
	}
	files := 0
	for _, name := range names {
		switch {
		case strings.HasSuffix(name, ".sst"), strings.HasSuffix(name, ".blob"):
			files++
		case strings.HasSuffix(name, ".log"):
			info, err := o.opts.FS.Stat(o.opts.FS.PathJoin(o.dir, name))
			if err != nil {
				return err
			}
			if info.Size() > 0 {
				files++
			}
		}
	}
	if files == 0 {
		return nil
	}
	return &LossError{dir: o.dir, Missing: fmt.Sprintf("embedded: %s: the file marker.manifest.* is missing: %d tables and logs are there, and nothing says which of them count", o.dir, files)}
}

// judge says what is missing, nil if nothing is.
func (o *opening) judge() *LossError {
	var missing string
	var cause error
	gone := !o.there || o.found.empty
	behind := o.behind()
	switch {
	case o.markError != nil:
		missing = fmt.Sprintf("both slots of the mark %s are damaged, so nothing says what the store had reached", markPath(o.dir))
	case !o.marked && (gone || o.found.commits.none()):
		return nil // a store that begins, or that had not begun when its machine died
	case !o.marked:
		missing = fmt.Sprintf("the mark %s is missing, so nothing says what the store had reached", markPath(o.dir))
	case !o.there:
		missing = fmt.Sprintf("the store is gone: there is no database in the folder, and it had reached %s at %s", countOf(o.mark.total()), o.when())
	case o.found.empty:
		missing = fmt.Sprintf("the store is empty, and it had reached %s at %s", countOf(o.mark.total()), o.when())
	case o.found.identity != o.mark.identity:
		missing = fmt.Sprintf("this is another store (%x) than the mark %s says (%x)", o.found.identity, markPath(o.dir), o.mark.identity)
	case behind > 0:
		missing = fmt.Sprintf("the store is %s behind what it had reached at %s: the end of a write-ahead log (*.log) or of the MANIFEST-* is lost, or the folder is an older copy", countOf(behind), o.when())
	}
	if cause = o.found.commits.hole(); cause != nil {
		const where = ": a write-ahead log (*.log), or what the MANIFEST-* named, is lost"
		if missing == "" {
			missing = cause.Error() + where
		} else {
			missing += ", and " + cause.Error() + where
		}
	}
	if missing == "" {
		return nil
	}
	state := append([]byte(missing), o.mark.encode()...)
	state = fmt.Appendf(state, "%x%v", o.found.identity, o.found.commits)
	return &LossError{
		Missing: fmt.Sprintf("embedded: %s: %s", o.dir, missing),
		Code:    fmt.Sprintf("%08x", crc32.Checksum(state, castagnoli)),
		dir:     o.dir, cause: cause,
	}
}

// behind gives how many commits that the mark knows are missing.
func (o *opening) behind() (n uint64) {
	for queue, reached := range o.mark.commits {
		n += reached - min(reached, o.found.commits[queue].number)
	}
	return n
}

func (o *opening) when() string {
	return time.UnixMilli(int64(o.mark.time)).UTC().Format("2006-01-02 15:04:05 UTC")
}

// openToRead opens the database read-only. What Pebble cannot open panics at times; that
// is an error like any other.
func (o *opening) openToRead() (db *pebble.DB, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			why, ok := cause.(error)
			if !ok {
				why = fmt.Errorf("%v", cause)
			}
			db, err = nil, o.explain(why)
		}
	}()
	settings := pebbleOptions(&o.reading, o.opts.CacheBytes, logger{log: o.opts.Log})
	settings.Logger, settings.EventListener = reader{logger{log: o.opts.Log}}, o.store.listener(newScheduler())
	if o.opts.tune != nil {
		o.opts.tune(settings)
	}
	settings.ReadOnly, settings.Lock = true, o.lock
	if db, err = pebble.Open(o.dir, settings); err != nil {
		return nil, o.explain(err)
	}
	return db, nil
}

// reader is the logger of a database that is only read, so that nothing is a failure of
// writing.
type reader struct{ logger }

// Fatalf implements pebble.Logger.
func (reader) Fatalf(format string, args ...any) { panic(fmt.Errorf(format, args...)) }

// explain says what an error of Pebble's means.
func (o *opening) explain(err error) error {
	switch {
	case isLocked(err):
		return fmt.Errorf("embedded: %w: %s", ErrLocked, o.dir)
	case strings.Contains(err.Error(), "merger name"):
		return fmt.Errorf("embedded: %w: %s was written by a gannet before format %d, which this one cannot read; use the gannet that wrote it, or another folder", ErrFormat, o.dir, formatVersion)
	case errors.Is(err, pebble.ErrDBDoesNotExist):
		return err
	case errors.Is(err, iofs.ErrPermission), isFull(err), isPassing(err), errors.Is(err, syscall.ENOTDIR), o.store.Err() != nil:
		return fmt.Errorf("embedded: cannot open %s: %w", o.dir, advised(err))
	default:
		return &LossError{dir: o.dir, cause: err, Missing: fmt.Sprintf("embedded: cannot open %s: %v", o.dir, o.reading.blame(withFile(err)))}
	}
}

// isLocked recognises what Pebble's file systems answer for a lock that is held:
// by another process the first, by this one the second.
func isLocked(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || strings.Contains(err.Error(), "lock held by current process")
}

// unlock lets go of the folder, which no database has open any more.
func (o *opening) unlock() error {
	if o.lock == nil {
		return nil
	}
	return o.lock.Close()
}

// readContents reads what a database says about itself, and refuses one of another
// format.
func readContents(db *pebble.DB) (c contents, err error) {
	format, err := get(db, keyFormat)
	if errors.Is(err, pebble.ErrNotFound) {
		it, err := db.NewIter(nil)
		if err != nil {
			return c, err
		}
		c.empty = !it.First()
		if err := errors.Join(it.Error(), it.Close()); err != nil {
			return c, err
		}
		if !c.empty {
			return c, fmt.Errorf("%w: it does not say which; use the gannet that wrote it, or another folder", ErrFormat)
		}
		return c, nil
	}
	if err != nil {
		return c, err
	}
	if len(format) != 4 || binary.BigEndian.Uint32(format) != formatVersion {
		return c, fmt.Errorf("%w: %x, this gannet reads format %d; use the gannet that wrote it, or another folder", ErrFormat, format, formatVersion)
	}
	identity, err := get(db, keyIdentity)
	if errors.Is(err, pebble.ErrNotFound) || err == nil && len(identity) != len(c.identity) {
		err = fmt.Errorf("the store has lost its name: %w", errCorrupt)
	}
	if err != nil {
		return c, err
	}
	copy(c.identity[:], identity)
	if c.floor, err = number(db, keyFloor); err != nil {
		return c, err
	}
	if c.resync, err = number(db, keyResync); err != nil {
		return c, err
	}
	c.commits, err = readAllCommits(db)
	return c, err
}

// number reads one of the database's own numbers, 0 where there is none.
func number(db *pebble.DB, key string) (uint64, error) {
	value, err := get(db, key)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	case len(value) != 8:
		return 0, errCorrupt
	}
	return binary.BigEndian.Uint64(value), nil
}

// get reads one of the database's own keys.
func get(db *pebble.DB, key string) ([]byte, error) {
	value, closer, err := db.Get([]byte(key))
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return append([]byte(nil), value...), nil
}

// countOf says how many commits.
func countOf(n uint64) string {
	if n == 1 {
		return "1 commit"
	}
	return grouped(n) + " commits"
}

// grouped writes a number with a comma before every three digits.
func grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for at := len(s) - 3; at > 0; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}
