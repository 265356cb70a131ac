// Package embedded keeps everything that logic needs in one folder on disk, with
// Pebble: the Log, History, Inbox and Cursors of the single process.
package embedded

import (
	"context"
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gannet/logic"
	"gannet/protocol"
)

// ErrLocked says that another process uses the folder.
var ErrLocked = errors.New("another gannet is using the data folder")

// Options says how to open a Store. The zero value of each field is usable
// except Lanes.
type Options struct {
	// Lanes is the number of lanes that Append is called with, at least 1.
	Lanes int

	// Publish takes each record once it is durable, in the order in which its
	// lane committed. nil: nobody follows.
	Publish func(lane int, record []byte)

	FS  vfs.FS           // nil: the disk
	Now func() time.Time // nil: time.Now

	// CacheConversations bounds how many conversations are kept in memory.
	CacheConversations int
	// CacheBytes is the size of the block cache.
	CacheBytes int64
}

// Store is a logic.Log, logic.History, logic.Inbox and logic.Cursors.
type Store struct{}

// Open opens the store in dir, creating it where there is none.
func Open(dir string, opts Options) (*Store, error) { return &Store{}, nil }

// Close waits for calls under way and closes the store.
func (s *Store) Close() error { return nil }

// Append implements logic.Log.
func (s *Store) Append(ctx context.Context, lane int, batch *logic.Batch) error {
	return logic.ErrUnavailable
}

// Head implements logic.History.
func (s *Store) Head(ctx context.Context, c protocol.Conversation) (uint64, error) {
	return 0, logic.ErrUnavailable
}

// Read implements logic.History.
func (s *Store) Read(ctx context.Context, c protocol.Conversation, first, last uint64, descending bool,
	visit func(seq uint64, message []byte) bool) error {
	return logic.ErrUnavailable
}

// Conversations implements logic.Inbox.
func (s *Store) Conversations(ctx context.Context, user uint64, after protocol.Target,
	visit func(logic.Summary) bool) error {
	return logic.ErrUnavailable
}

// Positions implements logic.Cursors.
func (s *Store) Positions(ctx context.Context, c protocol.Conversation, users []uint64, dst []logic.Position) ([]logic.Position, error) {
	return dst, logic.ErrUnavailable
}
