package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"

	"gannet/internal/operate"
	"gannet/protocol"
)

// ErrDamaged says that a file of the store is not as it was written.
var ErrDamaged = errors.New("the store is damaged")

// damage is what could not be read or written.
type damage struct {
	leftOut, kept atomic.Bool // conversations of inboxes; that this is on the disk

	mu                                 sync.Mutex
	suspects                           map[protocol.Conversation]bool // that could not be read once
	blocks                             operate.Trouble                // that Pebble found damaged
	loads, walks, pages, states        operate.Trouble
	flushes, compactions, others, acks operate.Trouble
}

// listener gets what Pebble has to tell. It is called with Pebble's lock held.
func (s *Store) listener(compactions *scheduler) *pebble.EventListener {
	return &pebble.EventListener{
		WALCreated: func(pebble.WALCreateInfo) {
			s.pressure.begun.Add(1)
			s.pressure.tablesMoved()
		},
		WriteStallBegin: func(pebble.WriteStallBeginInfo) { s.pressure.stalls.Add(1) },
		FlushEnd: func(info pebble.FlushInfo) {
			s.pressure.tablesMoved()
			s.flushed(info.Err)
		},
		CompactionEnd: func(info pebble.CompactionInfo) {
			s.pressure.tablesMoved()
			if info.Err == nil || errors.Is(info.Err, pebble.ErrCancelledCompaction) {
				return
			}
			compactions.failed()
			if s.damage.compactions.Note() {
				s.log.Error("embedded: a compaction failed; its tables stay as they are", "err", withFile(info.Err).Error())
			}
		},
		// Without it Pebble would hold a damaged block for fatal. With it whoever reads
		// there gets an error, and nobody else.
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			if s.damage.blocks.Note() {
				s.log.Error("embedded: a file of the store is damaged; what lies in it is unavailable, everything else goes on", "file", info.Path, "do", remedy, "err", info.Details.Error())
			}
		},
		BackgroundError: func(err error) {
			if s.damage.others.Note() {
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
	if s.damage.flushes.Note() {
		s.log.Error("embedded: a flush failed; what it should have written is in the log", "err", err.Error())
	}
	if !isFull(err) || !s.opened.Load() {
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

// A conversation that cannot be read is left out of its users' inboxes: HISTORY and
// SEND say unavailable for it, and everything else goes on. An inbox of which a page
// would fail as a whole keeps its user from all conversations, and one in which the
// page ended before the damage from those behind it.
//
// What is left out must not stay hidden once it can be read again, and a client asks
// for what changed since then. So the store remembers that something was left out, and
// from the next start on every since that it gave until then counts as 0: the file is
// put back while the server is stopped. A client may ask at any time until that start,
// so the record says stillLeftOut, and the start puts the stamp that was reached in its
// place. To keep the record in the same store is enough: an older copy of it is opened
// only by giving up what it lacks, and then every since of before counts as 0.
const (
	keyResync    = "mresync"
	stillLeftOut = ^uint64(0)
)

// errOnce marks an error for which a page fails as a whole.
var errOnce = errors.New("embedded: a read failed")

// maxSuspects bounds the conversations of which it is known that a read failed.
const maxSuspects = 4096

// suspected says whether a conversation could not be read before, and remembers that
// it could not.
func (d *damage) suspected(c protocol.Conversation) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.suspects[c] {
		return true
	}
	if d.suspects == nil || len(d.suspects) == maxSuspects {
		d.suspects = make(map[protocol.Conversation]bool)
	}
	d.suspects[c] = true
	return false
}

// isDamage says whether an error tells of something that is not as it was written,
// and not of a read that failed and may succeed the next time.
func isDamage(err error) bool {
	return pebble.IsCorruptionError(err) || errors.Is(err, errCorrupt) || errors.Is(err, protocol.ErrPayload) || errors.Is(err, pebble.ErrNotFound)
}

// leaveOut takes note of a conversation that cannot be listed. An error means that the
// page must fail as a whole: a read failed for the first time, and the next one may
// tell.
func (s *Store) leaveOut(ctx context.Context, user uint64, target protocol.Target, what string, err error) error {
	if ctx.Err() != nil || errors.Is(err, errOnce) {
		return err
	}
	if !isDamage(err) && !s.damage.suspected(target.Conversation(user)) {
		s.damage.states.Count()
		return fmt.Errorf("%w: %w", errOnce, err)
	}
	if s.damage.states.Note() {
		s.log.Error("embedded: "+what, "user", user, "target", target, "err", withFile(err).Error())
	}
	s.damage.leftOut.Store(true)
	return nil
}

// keepResync puts on the disk that something was left out, once a process.
func (s *Store) keepResync() {
	if !s.damage.leftOut.Load() || s.damage.kept.Load() {
		return
	}
	defer func() {
		if cause := recover(); cause != nil {
			s.fail(fmt.Errorf("%v", cause))
		}
	}()
	if err := s.db.Set([]byte(keyResync), binary.BigEndian.AppendUint64(nil, stillLeftOut), pebble.Sync); err != nil {
		s.fail(err)
		return
	}
	s.damage.kept.Store(true)
}

// endResync gives the since up to which each counts as 0, in a store that has reached
// this stamp: what was left out until now came with a since of stamps.next at most.
func (s *Store) endResync(kept, stamp uint64) (uint64, error) {
	if kept != stillLeftOut {
		return kept, nil
	}
	return stamp + 1, s.db.Set([]byte(keyResync), binary.BigEndian.AppendUint64(nil, stamp+1), pebble.Sync)
}
