// Package embedded keeps everything that logic needs in one folder on disk, with
// Pebble: the Log, History, Inbox and Social of the single process.
//
// Each queue has at most one record under way. Its batches are worked out in memory
// by the queue's ledger, committed with one sync, and only then shown to readers
// and published. Pebble itself shows a commit to readers before it is durable, so
// every reader asks the ledger how far it may look.
//
//	store.go    open and close; options.go
//	write.go    a queue's record, from batches to the disk
//	load.go     what a ledger does not have in memory
//	recall.go   client ids that it reads back beside the records
//	survive.go  panics that end nothing but what they happened in
//	run.go      how messages lie under their keys; messages.go: walking through them
//	history.go  pages of messages
//	inbox.go    the conversations of a user
//	keys.go     the format on disk
//	commits.go  what shows that nothing is missing in the middle of it
//	mark.go     what shows that nothing is missing at its end
//	ordered.go  what Pebble leaves to the file system
//	opening.go  what is looked at before a store is opened; mend.go: how it goes on
//	            without what is lost, mendtalk.go: in one conversation
//	pebble.go   how Pebble is set up; scheduler.go: when it compacts
//	pressure.go what is refused while the disk is behind or full; space.go, disk.go
//	damage.go   files that are not as they were written
//	blame.go    which file a start fails with, and what can be done
package embedded

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"gannet/internal/hop"
	"gannet/internal/operate"
	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

var (
	// ErrLocked says that another process, or another Store of this one, uses the
	// folder.
	ErrLocked = errors.New("another gannet is using the data folder")

	// ErrFormat says that the folder holds a store of another format.
	ErrFormat = errors.New("the store has another format")

	// ErrLost says that the store has not all that was acked, or that nothing can tell.
	// It comes as a LossError.
	ErrLost = errors.New("something that was acked may be missing")

	// ErrHole says that commits are missing in the middle of the store.
	ErrHole = errors.New("the store has a hole")
)

// Store is a logic.Log, logic.History, logic.Inbox and logic.Social. Its methods
// may be called concurrently.
type Store struct {
	db       *pebble.DB
	identity [16]byte
	now      func() time.Time
	log      *slog.Logger
	publish  func(ctx context.Context, record *hop.Record)
	queues   []*queue
	stamps   stamps
	mark     *marker
	unlock   func() error // lets go of the folder

	markPause time.Duration

	fs      vfs.FS
	dir     string
	minFree int64

	closePatience time.Duration
	stopBytes     uint64 // in tables in memory, at which Pebble holds a commit back
	tableBytes    uint64 // of one table
	reserve       int64  // of a table, for small messages while messages are refused
	stopLevel0    int    // flushes that are not compacted, at which messages are refused
	pressure      pressure
	damage        damage
	resync        uint64 // a since up to this counts as 0: damage.go

	// failed is set for good once a commit went wrong: what it wrote may or may
	// not be there, which only a new Open can tell.
	failed  atomic.Pointer[error]
	failure chan struct{} // closed with it
	opened  atomic.Bool

	panics atomic.Uint64 // survived
	said   operate.Seldom

	mu      sync.Mutex // guards closed, and calls.Add against Close
	closed  bool
	calls   sync.WaitGroup // methods under way
	closing chan struct{}  // closed when the store closes

	background sync.WaitGroup // the goroutines that write acks and the mark, and read windows back
	watched    sync.WaitGroup // the goroutine that watches tables and disk

	recalls chan struct{} // has a token while windows may wait to be read back
	ending  context.Context
	end     context.CancelFunc // when the store closes: what is read back is of no use then
}

var (
	_ logic.Log     = (*Store)(nil)
	_ logic.History = (*Store)(nil)
	_ logic.Inbox   = (*Store)(nil)
	_ ledger.Source = (*Store)(nil)
)

// Open opens the store in dir and creates it where there is none. A folder that
// is in use gives ErrLocked, a store of another format ErrFormat, and one in which
// something may be missing a LossError.
func Open(dir string, opts Options) (*Store, error) {
	if opts.Queues < 1 || opts.Queues > protocol.Partitions {
		return nil, fmt.Errorf("embedded: %d queues; 1 to %d are possible", opts.Queues, protocol.Partitions)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if opts.CacheConversations == 0 {
		opts.CacheConversations = defaultCacheConversations
	}
	if opts.CacheBytes == 0 {
		opts.CacheBytes = defaultCacheBytes
	}
	if opts.FS == nil {
		opts.FS = vfs.Default
	}
	if opts.markPause == 0 {
		opts.markPause = markPause
	}
	if opts.block == 0 {
		opts.block = defaultBlock
	}
	if opts.MinFree == 0 {
		opts.MinFree = DefaultMinFree
	}
	if err := checkRoom(opts.FS, dir, opts.MinFree); err != nil {
		return nil, fmt.Errorf("embedded: cannot open the store: %w", err)
	}
	s := &Store{
		now: opts.Now, log: opts.Log, publish: opts.Publish, markPause: opts.markPause,
		fs: opts.FS, dir: dir, minFree: opts.MinFree, closePatience: closePatience,
		pressure: pressure{moved: make(chan struct{}, 1)},
		failure:  make(chan struct{}), closing: make(chan struct{}), recalls: make(chan struct{}, 1),
	}
	s.ending, s.end = context.WithCancel(context.Background())
	o, err := s.examine(dir, opts)
	if err != nil {
		return nil, err
	}
	s.unlock = o.unlock
	files := &disk{FS: orderedNames{opts.FS}, fail: s.fail, failure: s.failure, closing: s.closing}
	settings := pebbleOptions(files, opts.CacheBytes, logger{opts.Log, s.fail})
	compactions := newScheduler()
	settings.Experimental.CompactionScheduler = compactions
	settings.EventListener, settings.Lock = s.listener(compactions), o.lock
	if opts.tune != nil {
		opts.tune(settings)
	}
	s.stopBytes = uint64(settings.MemTableStopWritesThreshold) * settings.MemTableSize
	s.tableBytes = settings.MemTableSize
	s.reserve = int64(settings.MemTableSize / 2)
	s.stopLevel0 = max(settings.L0StopWritesThreshold-settings.MemTableStopWritesThreshold, 1)
	if s.db, err = s.openPebble(dir, settings); err != nil {
		return nil, errors.Join(o.explain(err), o.unlock())
	}
	compactions.opened.Store(true)
	if err := s.begin(o); err != nil {
		close(s.closing)
		end := errors.Join(s.closePebble(context.Background()), o.unlock())
		if s.Err() != nil {
			end = nil // it says the same
		}
		return nil, fmt.Errorf("embedded: cannot use %s: %w", dir, errors.Join(advised(withFile(err)), end))
	}
	s.opened.Store(true)
	s.lookAtSpace()
	s.background.Go(s.writeAcks)
	s.background.Go(s.keepMark)
	s.background.Go(s.readRecalls)
	s.watched.Go(s.watch)
	return s, nil
}

// begin reads what the store says about itself, or writes it into one that is new or
// has lost something, and brings the mark up to it.
func (s *Store) begin(o *opening) (err error) {
	defer func() {
		if cause := recover(); cause != nil { // of Pebble, which could not write
			err = s.fail(asError("%v", cause))
		}
	}()
	if o.givenUp != nil {
		s.log.Error("embedded: what is missing is given up for good", "missing", o.givenUp.Missing)
	}
	found, err := readContents(s.db)
	switch {
	case err != nil:
	case o.givenUp != nil && (o.marked || !found.empty):
		found, err = s.goOnWithout(o, found)
	case found.empty: // also where nobody knows what was lost, not even its name
		found, err = s.name()
	}
	if err != nil {
		return err
	}
	if found.resync, err = s.endResync(found.resync, found.commits.stamp()); err != nil {
		return err
	}
	// All of it is durable: opening writes what it found in the write-ahead log.
	m := o.mark
	m.identity, m.stamp, m.ceiling = found.identity, found.commits.stamp(), max(m.ceiling, found.floor)
	for queue, c := range found.commits {
		m.commits[queue] = c.number
	}
	if s.mark, err = openMark(o.opts.FS, markPath(o.dir), m, o.opts.block, s.now); err != nil {
		return fmt.Errorf("the mark: %w", err)
	}
	s.identity, s.resync = found.identity, found.resync
	s.stamps = stamps{last: m.stamp, durable: m.stamp, underWay: make([]uint64, o.opts.Queues)}
	for i := range o.opts.Queues {
		s.queues = append(s.queues, &queue{index: i, made: m.commits[i], ledger: s.ledger(i, &o.opts, found.floor)})
	}
	return nil
}

// name gives an empty store its identity and its format.
func (s *Store) name() (c contents, err error) {
	rand.Read(c.identity[:])
	w := s.db.NewBatch()
	w.Set([]byte(keyIdentity), c.identity[:], nil)
	w.Set([]byte(keyFormat), binary.BigEndian.AppendUint32(nil, formatVersion), nil)
	return c, w.Commit(pebble.Sync)
}

// Identity gives the 16 random bytes that name this store for as long as it exists.
func (s *Store) Identity() [16]byte { return s.identity }

// Close waits for the calls under way, writes the acks that are not written, and
// closes the store; later calls are answered with logic.ErrUnavailable. After a
// failed commit the database cannot be closed any more, and Close gives the
// failure.
func (s *Store) Close() error { return s.CloseWithin(context.Background()) }

// CloseWithin is Close, but waits for nothing any more once ctx has ended. It gives an
// error if acks may be unwritten then; what was acked to a client is durable either way.
func (s *Store) CloseWithin(ctx context.Context) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	close(s.closing)
	s.end()
	if err := s.whileItWorks(ctx, s.finish); err != nil {
		return err
	}
	return errors.Join(s.whileItWorks(ctx, s.mark.close), s.closePebble(ctx), s.unlock())
}

// finish waits for whatever may still write, and writes what is left in memory.
func (s *Store) finish() error {
	s.background.Wait()
	s.calls.Wait()
	s.watched.Wait()
	if err := s.Err(); err != nil {
		return err
	}
	s.flushAcks(true)
	s.keepResync()
	return s.Err()
}

// closePatience is how long a close waits for flushes and compactions under way. What
// they do not get written is in the logs, and the next start writes it.
const closePatience = 5 * time.Second

// closePebble closes the database.
func (s *Store) closePebble(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.closePatience)
	defer cancel()
	err := s.whileItWorks(ctx, s.db.Close)
	if errors.Is(err, errNoTime) {
		s.log.Warn("embedded: what is in memory is not all written out; it is in the logs, and the next start takes longer")
		return nil
	}
	return err
}

// errNoTime says that a store that closes waited for as long as it may.
var errNoTime = errors.New("embedded: the store could not be closed in time")

// whileItWorks waits for do, or for the failure of the store: whoever was in Pebble
// then may never return. It does not wait past the end of ctx.
func (s *Store) whileItWorks(ctx context.Context, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-s.failure:
		return *s.failed.Load()
	case <-ctx.Done():
		return errNoTime
	}
}

// enter begins a call; exit ends one for which enter gave no error.
func (s *Store) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("%w: it is closed", logic.ErrUnavailable)
	}
	s.calls.Add(1)
	return nil
}

func (s *Store) exit() { s.calls.Done() }

// fail makes the store refuse every further batch and gives the error that says so.
func (s *Store) fail(cause error) error {
	err := fmt.Errorf("%w: writing failed: %w", logic.ErrUnavailable, cause)
	if s.failed.CompareAndSwap(nil, &err) {
		close(s.failure)
		s.log.Error("embedded: the disk failed; nothing is accepted any more until this process is started anew", "err", cause.Error())
	}
	return *s.failed.Load()
}

// Failed is closed once writing has failed. From then on nothing can be sent, and
// only opening the store anew, in a new process, helps; Err says why.
func (s *Store) Failed() <-chan struct{} { return s.failure }

// Err gives why writing failed, nil while it has not.
func (s *Store) Err() error {
	if err := s.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// unavailable wraps an error of a read.
func unavailable(cause error) error {
	if errors.Is(cause, logic.ErrUnavailable) {
		return cause
	}
	return fmt.Errorf("%w: %w", logic.ErrUnavailable, cause)
}

func (s *Store) queueOf(c protocol.Conversation) *queue {
	return s.queues[c.Partition()%len(s.queues)]
}
