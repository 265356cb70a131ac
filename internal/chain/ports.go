package chain

import (
	"context"
	"errors"
)

// Stream gives access to the queues of a broker. Its methods are safe for concurrent use. The
// suite in chaintest tests every adapter.
type Stream interface {
	// Append puts a record at the end of the queue and gives its offset. The record is then
	// durable. Offsets rise by one. After ErrRefused the record is not in the queue and never
	// will be. After any other error it may be there, or may appear at any later time, once or
	// several times. Append returns within about a second. The caller must never change body
	// afterwards.
	Append(ctx context.Context, queue Queue, body []byte) (offset int64, err error)

	// Bounds gives the first offset that the queue still has, and the offset behind its last
	// record. The second may be a little old.
	Bounds(ctx context.Context, queue Queue) (first, end int64, err error)

	// Pull gives at least one and at most limit records from the offset on, in order. They have
	// no holes other than the broker's own. At the end of the queue Pull waits for a record until
	// ctx ends. Pull may give records that are not durable yet.
	//
	// ErrRetention says that the record at the offset was removed because of its age. ErrLagging
	// says that the broker cannot tell at the moment, or that the offset is past the end. After
	// every error but ErrRetention the caller may ask again.
	Pull(ctx context.Context, queue Queue, from int64, limit int) ([]Stored, error)
}

// Stored is what lies at an offset of a queue.
type Stored struct {
	Offset int64
	Body   []byte // immutable
}

// The errors of a Stream that mean something to its caller.
var (
	ErrRefused   = errors.New("chain: the broker did not take the record")
	ErrRetention = errors.New("chain: the offset is behind the retention of the broker")
	ErrLagging   = errors.New("chain: the broker has not come so far")

	// ErrNoQueue says that the broker answers and does not have the queue at all, as after its disk
	// was emptied. It may come from any method, from Append with ErrRefused, and asking again is
	// right: somebody may make the queue again.
	ErrNoQueue = errors.New("chain: the broker does not have the queue, as when its disk was emptied (`gannet mend` says what to do)")
)
