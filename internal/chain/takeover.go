package chain

import (
	"context"
	"errors"
	"fmt"
)

// Doubt is what became of the record of which Append said ErrUnknown.
type Doubt struct {
	writer, number uint64
	Mark           Mark // its own, if it counts
	Counts         bool
}

// TakeOver makes the queue this writer's: it reads what it does not know yet, which
// Take gets, and appends an empty record under a fresh writer id. Once that counts,
// whatever anybody sent before and has not arrived is void for ever. It also says
// whether a record that was in doubt counts.
//
// OldViewError says that somebody took it under a newer view of the registry.
// ErrRetention says that the mark lies behind the broker's retention, ErrLost that the
// broker does not have what it acknowledged: these need a human. After ErrTorn a new
// writer has to begin from a durable mark. After any other error TakeOver may be called
// again, and what was in doubt stays so.
func (w *Writer) TakeOver(ctx context.Context) (Doubt, error) {
	w.taken = false
	if w.dead != nil {
		return Doubt{}, w.dead
	}
	end, err := checkRetention(ctx, w.options.Stream, w.options.Queue, w.reader.Last())
	if err != nil {
		return Doubt{}, err
	}
	if err := w.reader.ReadTo(ctx, end, w.take); err != nil {
		return Doubt{}, w.torn(err)
	}
	for {
		if ours := w.options.Registry(); w.registry > ours {
			return Doubt{}, &OldViewError{Queue: w.options.Queue, Ours: ours, Theirs: w.registry}
		}
		w.id, w.number = w.options.random()|1, 1
		head := w.head(Empty, 1)
		offset, err := w.options.Stream.Append(ctx, w.options.Queue, head.Append(nil, nil))
		if err != nil {
			return Doubt{}, err
		}
		if next := w.reader.Next(); offset < next {
			gone := ErrTorn
			if offset <= w.durable {
				gone = ErrLost
			}
			return Doubt{}, w.end(fmt.Errorf("%w: %v gave a record offset %d, and had come to %d", gone, w.options.Queue, offset, next))
		}
		ours, err := w.readBack(ctx, offset)
		if err != nil {
			return Doubt{}, w.torn(err)
		}
		if ours {
			doubt := w.doubt
			w.keep(offset, &head)
			return doubt, nil
		}
	}
}

// readBack reads from the last counting record that was known up to our empty one, and
// says whether that is the last one which counts. What was read before may not have
// been durable and may have been replaced since; what lies before a record that was
// acknowledged is durable.
func (w *Writer) readBack(ctx context.Context, offset int64) (ours bool, err error) {
	w.read(w.reader.Last())
	err = w.reader.ReadTo(ctx, offset+1, func(r *Record) error {
		ours = r.Writer == w.id
		if ours {
			return nil
		}
		return w.take(r)
	})
	return ours, err
}

// torn says what an error of reading means. What is gone and was known to be durable is
// lost, and so is what is missing in the middle; what was only read may be gone without
// anybody's fault.
func (w *Writer) torn(err error) error {
	lost, torn := errors.Is(err, ErrLost), errors.Is(err, ErrTorn)
	switch {
	case !lost && !torn:
		return err
	case torn && w.reader.Last().Offset <= w.durable:
		err = fmt.Errorf("%w (%v)", ErrLost, err)
	case lost && w.reader.Last().Offset > w.durable && !errors.Is(err, errHole):
		err = fmt.Errorf("%w (%v)", ErrTorn, err)
	}
	return w.end(err)
}
