package embedded

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"

	"gannet/internal/operate"
)

// ErrDamaged says that a file of the store is not as it was written.
var ErrDamaged = errors.New("the store is damaged")

// trouble is one way in which the disk fails: it is counted every time and logged at
// most once a second, for a damaged block is met by everybody who reads it.
type trouble struct {
	times atomic.Uint64
	said  operate.Seldom
}

// note counts; true asks the caller to log it.
func (t *trouble) note() bool {
	t.times.Add(1)
	return t.said.Now()
}

// damage is what could not be read or written.
type damage struct {
	blocks                       trouble // that Pebble found damaged
	loads, walks, pages, states  trouble
	flushes, compactions, others trouble
}

// listener gets what Pebble has to tell. It is called with Pebble's lock held.
func (s *Store) listener() *pebble.EventListener {
	return &pebble.EventListener{
		WALCreated:      func(pebble.WALCreateInfo) { s.pressure.tablesMoved() },
		WriteStallBegin: func(pebble.WriteStallBeginInfo) { s.pressure.stalls.Add(1) },
		FlushEnd: func(info pebble.FlushInfo) {
			s.pressure.tablesMoved()
			s.flushed(info.Err)
		},
		CompactionEnd: func(info pebble.CompactionInfo) {
			s.pressure.tablesMoved()
			if info.Err != nil && !errors.Is(info.Err, pebble.ErrCancelledCompaction) && s.damage.compactions.note() {
				s.log.Error("embedded: a compaction failed; its tables stay as they are", "err", withFile(info.Err).Error())
			}
		},
		// Without it Pebble would hold a damaged block for fatal. With it whoever reads
		// there gets an error, and nobody else.
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			if s.damage.blocks.note() {
				s.log.Error("embedded: a file of the store is damaged; what lies in it is unavailable, everything else goes on", "file", info.Path, "do", remedy, "err", info.Details.Error())
			}
		},
		BackgroundError: func(err error) {
			if s.damage.others.note() {
				s.log.Error("embedded: work in the background failed", "err", withFile(err).Error())
			}
		},
	}
}

// flushed hears how a flush ended. What it should have written is in the log, and on
// a full disk the next try may find room, after a pause (disk.pause); any other error
// is the disk's, and no reason to go on.
func (s *Store) flushed(err error) {
	if err == nil || err.Error() == emptyFlush {
		return
	}
	if s.damage.flushes.note() {
		s.log.Error("embedded: a flush failed; what it should have written is in the log", "err", err.Error())
	}
	if !isFull(err) {
		s.fail(fmt.Errorf("a flush failed: %w", err))
	}
}

// emptyFlush is the error with which Pebble says that a flush had nothing to write.
const emptyFlush = "pebble: empty table"

// isFull says whether an error is that of a disk without room.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

const remedy = "stop the server and restore this file, or the whole data folder, from a backup"

// withFile gives an error of Pebble's the file that it is about, and what can be done.
func withFile(err error) error {
	if errors.Is(err, ErrDamaged) {
		return err
	}
	if info := pebble.ExtractDataCorruptionInfo(err); info != nil {
		return fmt.Errorf("%w: %s: %w; %s", ErrDamaged, info.Path, err, remedy)
	}
	return err
}
