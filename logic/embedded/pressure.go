package embedded

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gannet/internal/hop"
	"gannet/internal/operate"
	"gannet/logic"
	"gannet/protocol"
)

const (
	// busyRetry is how long a client waits that sent when flushes were behind: a
	// table takes a few tenths of a second on a disk that is not slow.
	busyRetry = 500 * time.Millisecond

	// fullRetry is how long a client waits that sent to a full disk: room is made by
	// people.
	fullRetry = 5 * time.Second

	// smallMessage is up to which size of their frame messages are taken while flushes
	// are behind, from half a table of reserve: who chats is not to feel who sends
	// large bodies. recordCost is what a record takes in a table beside its frame.
	smallMessage = 2 << 10
	recordCost   = 256

	// lookAgain is after how long the tables are looked at once more when something
	// happened to them: Pebble tells of a new log just before it queues the table.
	lookAgain = 5 * time.Millisecond
)

// pressure says what the store does not take for the time being. A commit that Pebble
// holds back holds back its whole queue, reads and acks of everybody in it, so the
// store refuses messages before it comes to that.
type pressure struct {
	sends   atomic.Pointer[refusal] // nil: messages are taken
	cursors atomic.Pointer[refusal] // nil: acks and reads are taken

	reserve atomic.Int64  // bytes that small messages may still take while flushes are behind
	moved   chan struct{} // holds a token when tables came or went
	written atomic.Int64  // bytes committed since the free space was looked at
	begun   atomic.Uint64 // tables that were begun
	counted atomic.Uint64 // those of them that waiting counts for certain

	mu           sync.Mutex // guards what follows
	behind, full *refusal
	nearFull     bool

	refusedBusy, refusedFull atomic.Uint64
	stalls                   atomic.Uint64
	free, waiting            atomic.Uint64 // bytes
	said                     operate.Seldom
}

// refusal is why something is not taken, and for how long to wait.
type refusal struct {
	code  protocol.Code
	retry time.Duration
	why   string
}

// tablesMoved is called by Pebble, with its lock held.
func (p *pressure) tablesMoved() {
	select {
	case p.moved <- struct{}{}:
	default:
	}
}

// perhapsBehind says whether tables were begun that are not counted and that may be one
// too many: whoever commits next looks first.
func (s *Store) perhapsBehind() bool {
	p := &s.pressure
	fresh := p.begun.Load() - p.counted.Load()
	return fresh > 0 && p.waiting.Load()+fresh*s.tableBytes >= s.stopBytes
}

// watch looks at the tables and at the disk until the store closes or fails.
func (s *Store) watch() {
	again := time.NewTimer(lookAgain)
	defer again.Stop()
	space := time.NewTicker(spaceTick)
	defer space.Stop()
	begun := uint64(0)
	for {
		select {
		case <-s.closing:
			return
		case <-s.failure:
			return
		case <-s.pressure.moved:
			begun = s.pressure.begun.Load()
			again.Reset(lookAgain)
		case <-again.C:
			s.lookAtTables()
			s.pressure.counted.Store(begun)
			continue
		case <-space.C:
			s.lookAtSpace()
			s.keepResync()
		}
		s.lookAtTables()
	}
}

// lookAtTables refuses messages while the next table that fills would find no room:
// the one that is being filled takes acks, reads and what is under way.
func (s *Store) lookAtTables() {
	p := &s.pressure
	p.mu.Lock()
	defer p.mu.Unlock()
	m := s.db.Metrics()
	p.waiting.Store(m.MemTable.Size)
	p.behind = nil
	switch level0 := int(m.Levels[0].Sublevels); {
	case m.MemTable.Size >= s.stopBytes:
		p.behind = &refusal{protocol.CodeBusy, busyRetry, fmt.Sprintf("%s wait to be written out", size(m.MemTable.Size))}
	case level0 >= s.stopLevel0:
		p.behind = &refusal{protocol.CodeBusy, busyRetry, fmt.Sprintf("compactions are %d flushes behind", level0)}
	}
	s.decide()
}

// lookAtSpace refuses messages while the disk is nearly full, and acks and reads
// once it is fuller still.
func (s *Store) lookAtSpace() {
	p := &s.pressure
	p.written.Store(0)
	usage, err := s.fs.GetDiskUsage(s.dir)
	if errors.Is(err, vfs.ErrUnsupported) {
		return
	}
	if err != nil {
		if p.said.Now() {
			s.log.Warn("embedded: the free space cannot be told", "err", err)
		}
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free.Store(usage.AvailBytes)
	mark := uint64(max(s.minFree, 0))
	p.nearFull = usage.AvailBytes < mark/cursorShare
	if p.full != nil {
		mark += mark / resumeShare
	}
	p.full = nil
	if usage.AvailBytes < mark {
		p.full = &refusal{protocol.CodeStorageFull, fullRetry, fmt.Sprintf("the disk has %s free", size(usage.AvailBytes))}
	}
	s.decide()
}

// decide puts into force what was seen. The pressure's mu is held.
func (s *Store) decide() {
	p := &s.pressure
	sends, cursors := p.behind, (*refusal)(nil)
	if p.full != nil {
		sends = p.full
		if p.nearFull {
			cursors = p.full
		}
	}
	if p.behind != nil && p.sends.Load() == nil {
		p.reserve.Store(s.reserve)
	}
	was := p.sends.Swap(sends)
	p.cursors.Store(cursors)
	if (was == nil) == (sends == nil) || !p.said.Now() {
		return
	}
	if sends != nil {
		s.log.Warn("embedded: messages are refused", "code", sends.code, "why", sends.why)
	} else {
		s.log.Info("embedded: messages are taken again")
	}
}

// part is what is left of a batch of which something was refused.
type part struct {
	whole *logic.Batch
	rest  logic.Batch
	at    []int // in whole, of each entry of rest
}

// take refuses what the store does not take, and gives the batches with the rest.
func (s *Store) take(batches []*logic.Batch) (taken []*logic.Batch, parts []part) {
	if s.pressure.sends.Load() == nil && s.perhapsBehind() {
		s.lookAtTables()
	}
	if s.minFree > 0 && s.pressure.written.Load() > s.minFree/lookShare {
		s.lookAtSpace()
	}
	sends, cursors := s.pressure.sends.Load(), s.pressure.cursors.Load()
	if sends == nil && cursors == nil {
		return batches, nil
	}
	parts = make([]part, len(batches))
	taken = make([]*logic.Batch, len(batches))
	behind := make(map[[2]uint64]bool) // user and device of whom a message was refused: no later one overtakes it
	for i, b := range batches {
		p := &parts[i]
		*p = part{whole: b, rest: logic.Batch{Queue: b.Queue, Blob: b.Blob}}
		for at := range b.Entries {
			e := &b.Entries[at]
			why := cursors
			if e.Op == hop.OpMessage {
				why = sends
			}
			from := [2]uint64{e.User, e.Device}
			if why == nil || !behind[from] && s.pressure.spares(why, e) {
				p.rest.Entries, p.at = append(p.rest.Entries, *e), append(p.at, at)
				continue
			}
			behind[from] = true
			e.Outcome, e.Code, e.RetryAfter = logic.Refused, why.code, why.retry
			if why.code == protocol.CodeBusy {
				s.pressure.refusedBusy.Add(1)
			} else {
				s.pressure.refusedFull.Add(1)
			}
		}
		taken[i] = &p.rest
	}
	return taken, parts
}

// spares says whether a small message is taken from the reserve.
func (p *pressure) spares(why *refusal, e *logic.Entry) bool {
	size := e.Frame.Len()
	return why.code == protocol.CodeBusy && size <= smallMessage && p.reserve.Add(-int64(size+recordCost)) >= 0
}

// giveBack puts the results of what was taken into the batches that it came from.
func giveBack(parts []part) {
	for i := range parts {
		p := &parts[i]
		for j, at := range p.at {
			p.whole.Entries[at] = p.rest.Entries[j]
		}
	}
}

// Health says why the store should get no more clients, if so: it has failed, or its
// disk is nearly full.
func (s *Store) Health() error {
	if err := s.Err(); err != nil {
		return err
	}
	if r := s.pressure.sends.Load(); r != nil && r.code == protocol.CodeStorageFull {
		return fmt.Errorf("messages are refused: %s", r.why)
	}
	return nil
}

// Stats gives the counters of the store by name: "refused.<code>" for entries that it
// did not take, "damaged.<what>" and "failed.<what>" for what could not be read or
// written, "stalls" for commits that Pebble held back. They rise from the start of
// the process, but for "free_bytes" and "waiting_bytes", what the disk has free (0:
// not known) and what is in memory until it is written out.
func (s *Store) Stats() map[string]uint64 {
	p, d := &s.pressure, &s.damage
	return map[string]uint64{
		"refused.busy":         p.refusedBusy.Load(),
		"refused.storage_full": p.refusedFull.Load(),
		"stalls":               p.stalls.Load(),
		"panics":               s.panics.Load(),
		"free_bytes":           p.free.Load(),
		"waiting_bytes":        p.waiting.Load(),
		"damaged.blocks":       d.blocks.Times(),
		"failed.load":          d.loads.Times(),
		"failed.walk":          d.walks.Times(),
		"failed.page":          d.pages.Times(),
		"failed.inbox":         d.states.Times(),
		"failed.flush":         d.flushes.Times(),
		"failed.compaction":    d.compactions.Times(),
		"failed.acks":          d.acks.Times(),
		"failed.background":    d.others.Times(),
	}
}
