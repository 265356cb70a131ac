package chain

import (
	"context"
	"errors"
)

// Stream is the queues of a broker. Its methods are safe for concurrent use; the suite in
// chaintest holds every adapter to it.
type Stream interface {
	// Append puts a record at the end of the queue and gives its offset: the record is
	// durable there. Offsets rise by one. With an error that is ErrRefused it is not
	// there and will not be; with any other it may be there, or may come to be there
	// however much later, once or several times. It returns within about a second. body
	// must stay as it is for ever.
	Append(ctx context.Context, queue Queue, body []byte) (offset int64, err error)

	// Bounds gives the first offset of the queue that is there, and the one behind the
	// last. The second may be a little old.
	Bounds(ctx context.Context, queue Queue) (first, end int64, err error)

	// Pull gives records from the offset on, in order, without holes but those of the
	// broker: at least one, at most limit. At the end of the queue it waits for one until
	// ctx ends. Records may be seen before they are durable.
	//
	// ErrRetention says that the record at the offset was removed because of its age.
	// ErrLagging says that the broker cannot tell at the moment, or that the offset is
	// past the end. After any other error, too, asking again is right.
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
)
