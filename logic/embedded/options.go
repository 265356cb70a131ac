package embedded

import (
	"context"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"gannet/internal/hop"
	"gannet/internal/limiter"
	"gannet/logic/ledger"
)

// cacheClientIDs takes 24 MB when ten thousand devices send, or when five hundred
// send again what was refused or not answered a thousand messages ago.
const cacheClientIDs = 1 << 20

// defaultCacheConversations takes about 70 MB with two devices a conversation.
const defaultCacheConversations = 1 << 17

// Options says how to open a Store. The zero value of each field but Queues is
// usable.
type Options struct {
	// Queues is the number of queues that Apply is called with, 1 to 256. It may
	// differ from one Open to the next.
	Queues int

	// Publish takes each record that carries frames once it is durable, in the order
	// of its queue; the queue waits for it to return. The record is valid until
	// then, the bytes of its blob stay as they are. The context has the values of the
	// call that wrote the record, and no end. nil: nobody follows.
	Publish func(ctx context.Context, record *hop.Record)

	FS  vfs.FS           // nil: the disk
	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: slog.Default()

	// CacheConversations bounds how many conversations are kept in memory, about
	// 0.6 kB each; 0: 131072. Those of the batches under way come on top.
	CacheConversations int

	// Devices bounds how many devices of one user a conversation knows; 0: 64.
	Devices int

	// Limiter bounds how many conversations users begin. nil: nobody is limited.
	Limiter limiter.Limiter

	// CacheBytes is the size of Pebble's block cache; 0: 64 MiB.
	CacheBytes int64

	// MinFree is how many bytes of the disk must be free for messages to be taken; 0:
	// DefaultMinFree, below 0: they are taken until the disk is full, which is the
	// store's failure. A start on a full disk is refused either way.
	MinFree int64

	// GiveUp is the code of a LossError: what it says is missing is given up for good.
	// Every conversation goes on above all seqs that may have been given out, and
	// clients are told that what lies between will never come. Of no effect on a store
	// in which nothing is missing; another code than that of the loss is refused.
	GiveUp string

	// For tests.
	tune      func(*pebble.Options)
	source    func(ledger.Source) ledger.Source // what ledgers read through
	markPause time.Duration
	block     uint64 // a multiple of checkpoint
}
