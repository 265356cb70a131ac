package embedded

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Settings of Pebble. The load is a stream of small records that are written
// once, read once or twice soon after, and by range later; a writer waits for
// every commit, so what matters is that a commit never waits for a flush or a
// compaction.
const (
	// memTableSize times memTables is the memory that a burst may fill while a
	// flush runs: at 250,000 messages/s of 300 bytes a table lasts for about 0.8 s,
	// and writing it out takes less than that. Messages fill all but the last, which
	// is for what is under way when they are refused (pressure.go).
	memTableSize = 64 << 20
	memTables    = 5

	// l0Compaction merges several flushes at once, l0Stop lets them pile up to
	// 8 GiB (128 flushed tables) before writes stop: reads of cold
	// conversations get slower until then, writes do not.
	l0Compaction = 8
	l0Stop       = 128

	// maxCompactions allows a second compaction, which Pebble starts only once the
	// first falls behind: on two cores each takes time from the messages.
	maxCompactions = 2

	// tableSize and baseSize keep a compaction to tens of files where the
	// defaults (2 MiB, 64 MiB) would give hundreds.
	tableSize = 32 << 20
	baseSize  = 256 << 20

	// blockSize is what one read takes off the disk: a page of history is a range of
	// tens of KiB. Smaller blocks cost a write and an index entry each in flushes and
	// compactions.
	blockSize = 32 << 10

	// defaultCacheBytes holds the blocks of conversations that are being read.
	defaultCacheBytes = 64 << 20
)

// pebbleOptions gives the options of the database. There are no bloom filters:
// they spare the look-up of keys that are not there, and every key that is
// looked up here was found in a link or an index.
func pebbleOptions(fs vfs.FS, cacheBytes int64, log logger) *pebble.Options {
	o := &pebble.Options{
		FS:                          fs,
		Logger:                      log,
		Merger:                      commitsMerger,
		CacheSize:                   cacheBytes,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                memTableSize,
		MemTableStopWritesThreshold: memTables,
		L0CompactionThreshold:       l0Compaction,
		L0StopWritesThreshold:       l0Stop,
		LBaseMaxBytes:               baseSize,
		CompactionConcurrencyRange:  func() (lower, upper int) { return 1, maxCompactions },
	}
	// What is in level 0 is rewritten soon, so compressing it is work for nothing;
	// the levels below inherit what Pebble is fastest with on this processor.
	o.Levels[0].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	o.Levels[1].Compression = func() *sstable.CompressionProfile { return sstable.FastestCompression }
	for i := range o.Levels {
		o.Levels[i].BlockSize = blockSize
	}
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = tableSize
	}
	return o
}

// logger passes Pebble's errors on and leaves out the rest.
type logger struct {
	log  *slog.Logger
	fail func(cause error) error
}

func (logger) Infof(string, ...any) {}

func (l logger) Errorf(format string, args ...any) {
	l.log.Error("embedded: " + fmt.Sprintf(format, args...))
}

// Fatalf must not return: Pebble would go on as if nothing had happened, and report a
// commit that failed as done. During a call of the store's the panic becomes that
// call's error. In Pebble's own goroutines it would end the process out of order, and
// with a lock in the wrong state even its message would be lost: there the store
// fails, and the goroutine stays where it is.
func (l logger) Fatalf(format string, args ...any) {
	err := asError(format, args...)
	if withinCall() {
		panic(err)
	}
	l.fail(err)
	forEver()
}

// asError is fmt.Errorf, but the result wraps whatever errors are among the arguments.
func asError(format string, args ...any) error {
	said := &saidError{text: fmt.Sprintf(format, args...)}
	for _, arg := range args {
		if cause, ok := arg.(error); ok {
			said.causes = append(said.causes, cause)
		}
	}
	return said
}

// saidError is an error of which Pebble gives the text.
type saidError struct {
	text   string
	causes []error
}

func (e *saidError) Error() string   { return e.text }
func (e *saidError) Unwrap() []error { return e.causes }

// withinCall says whether the goroutine is in a call of the store's.
func withinCall() bool {
	return onStack(func(function string) bool {
		return strings.Contains(function, "/embedded.(*Store).") && !strings.Contains(function, "openPebble")
	})
}
