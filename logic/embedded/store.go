// Package embedded keeps everything that logic needs in one folder on disk, with
// Pebble: the Log, History, Inbox and Cursors of the single process.
//
// Each lane has at most one batch under way. A batch is worked out in memory on
// the cached state of its conversations, committed with one sync, and only then
// shown to readers and published. Pebble itself shows a commit to readers before
// it is durable, so every reader asks the cache how far it may look: a
// conversation whose batch is under way is always in it.
package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"gannet/logic"
	"gannet/protocol"
)

// ErrLocked says that another process, or another Store of this one, uses the
// folder.
var ErrLocked = errors.New("another gannet is using the data folder")

// defaultCacheConversations takes about 70 MB with two devices a conversation.
const defaultCacheConversations = 1 << 17

// Options says how to open a Store. The zero value of each field but Lanes is
// usable.
type Options struct {
	// Lanes is the number of lanes that Append is called with, at least 1. It may
	// differ from one Open to the next.
	Lanes int

	// Publish takes each record once it is durable, in the order in which its lane
	// committed; the lane waits for it to return. It owns the record. nil: nobody
	// follows.
	Publish func(lane int, record []byte)

	FS  vfs.FS           // nil: the disk
	Now func() time.Time // nil: time.Now

	// CacheConversations bounds how many conversations are kept in memory, about
	// 0.6 kB each; 0: 131072. Those of the batches under way come on top.
	CacheConversations int

	// CacheBytes is the size of Pebble's block cache; 0: 64 MiB.
	CacheBytes int64

	tune func(*pebble.Options) // for tests
}

// Store is a logic.Log, logic.History, logic.Inbox and logic.Cursors. Its
// methods may be called concurrently.
//
// Locks, in the order in which they are taken: lane.append, lane.mu.
type Store struct {
	db      *pebble.DB
	now     func() time.Time
	publish func(lane int, record []byte)
	lanes   []*lane

	// failed is set for good once a commit went wrong: what it wrote may or may
	// not be there, which only a new Open can tell.
	failed  atomic.Pointer[error]
	failure chan struct{} // closed with it

	mu     sync.Mutex // guards closed, and calls.Add against Close
	closed bool
	calls  sync.WaitGroup // methods under way
}

var (
	_ logic.Log     = (*Store)(nil)
	_ logic.History = (*Store)(nil)
	_ logic.Inbox   = (*Store)(nil)
	_ logic.Cursors = (*Store)(nil)
)

// Open opens the store in dir and creates it where there is none. A folder that
// is in use gives ErrLocked.
func Open(dir string, opts Options) (*Store, error) {
	if opts.Lanes < 1 {
		return nil, fmt.Errorf("embedded: %d lanes, at least 1 is needed", opts.Lanes)
	}
	if opts.Now == nil {
		opts.Now = time.Now
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
	settings := pebbleOptions(opts.FS, opts.CacheBytes)
	if opts.tune != nil {
		opts.tune(settings)
	}
	db, err := pebble.Open(dir, settings)
	if err != nil {
		if isLocked(err) {
			return nil, fmt.Errorf("embedded: %w: %s", ErrLocked, dir)
		}
		return nil, fmt.Errorf("embedded: cannot open %s: %w", dir, err)
	}
	s := &Store{
		db: db, now: opts.Now, publish: opts.Publish, lanes: make([]*lane, opts.Lanes), failure: make(chan struct{}),
	}
	for i := range s.lanes {
		s.lanes[i] = newLane(max(opts.CacheConversations/opts.Lanes/2, 1))
	}
	return s, nil
}

// isLocked recognises what Pebble's file systems answer for a lock that is held:
// by another process the first, by this one the second.
func isLocked(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || strings.Contains(err.Error(), "lock held by current process")
}

// Close waits for the calls under way and closes the store; later calls are
// answered with logic.ErrUnavailable. After a failed commit the database cannot
// be closed any more, and Close gives the failure.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	if err := s.Err(); err != nil {
		return err
	}
	s.calls.Wait()
	if err := s.Err(); err != nil {
		return err
	}
	return s.db.Close()
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
		slog.Error("embedded: the disk failed; nothing is accepted any more until this process is started anew", "err", cause)
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
	return fmt.Errorf("%w: %w", logic.ErrUnavailable, cause)
}

func (s *Store) laneOf(c protocol.Conversation) *lane {
	return s.lanes[c.Partition()%len(s.lanes)]
}
