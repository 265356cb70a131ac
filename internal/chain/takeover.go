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

// TakeOver makes this writer the queue's writer. It appends an empty record under a fresh writer
// id, which builds on the last counting record that is known, and reads up to it. Counting
// records that it finds there go to Take. If there are any, the empty record is void and TakeOver
// appends another one. As soon as an empty record counts, everything that anybody sent earlier
// and that has not arrived is void for ever. TakeOver also tells whether a record that was in
// doubt counts.
//
// TakeOver appends before it reads, because everything before an acknowledged record is durable.
// So it takes in nothing that a power cut can still remove.
//
// OldViewError says that another node took the queue under a newer view of the registry.
// ErrRetention says that the broker's retention has removed the record of the mark. ErrLost says
// that the broker does not have what it acknowledged. The last two need a human. After any other
// error TakeOver may be called again; a doubt stays open until then.
func (w *Writer) TakeOver(ctx context.Context) (Doubt, error) {
	w.taken = false
	if w.dead != nil {
		return Doubt{}, w.dead
	}
	if last := w.reader.Last(); w.registry > 0 {
		// What was in the queue may be lost by now, and others may have appended just as many
		// records. So we read again, from the mark on.
		w.reader = NewReader(w.options.Stream, w.options.Queue, last)
		w.reader.pause = w.options.pause
	}
	if err := w.confirm(ctx); err != nil {
		return Doubt{}, err
	}
	for {
		w.view = w.options.Registry()
		if w.registry > w.view {
			return Doubt{}, &OldViewError{Queue: w.options.Queue, Ours: w.view, Theirs: w.registry}
		}
		w.id, w.number = w.options.random()|1, 1
		head := w.head(Empty, 1)
		offset, err := w.options.Stream.Append(ctx, w.options.Queue, head.Append(nil, nil))
		if err != nil {
			return Doubt{}, err
		}
		if next := w.reader.Next(); offset < next {
			return Doubt{}, w.end(fmt.Errorf("%w: %v gave a record offset %d, and had come to %d", ErrLost, w.options.Queue, offset, next))
		}
		ours := false
		err = w.reader.ReadTo(ctx, offset, func(r *Record) error {
			if ours = r.Writer == w.id; ours { // our record is in the queue twice
				return nil
			}
			return w.take(r)
		})
		if err == nil {
			var why Reason
			why, err = w.reader.rule.judge(offset, &head, false)
			ours = ours || why == Counts
		}
		if err != nil {
			return Doubt{}, w.lost(err)
		}
		if ours {
			doubt := w.doubt
			w.keep(&head)
			return doubt, nil
		}
	}
}

// confirm checks that the record of the mark is in the queue and not behind the broker's
// retention. It also learns under which version of the registry that record was made.
func (w *Writer) confirm(ctx context.Context) error {
	mark := w.reader.Last()
	first, _, err := w.options.Stream.Bounds(ctx, w.options.Queue)
	switch {
	case err != nil:
		return err
	case first > max(mark.Offset, 0):
		return fmt.Errorf("%w: %v begins at offset %d, the mark is %v", ErrRetention, w.options.Queue, first, mark)
	case w.registry > 0 || mark == Beginning:
		return nil
	}
	found := false
	err = Back(ctx, w.options.Stream, w.options.Queue, mark, func(r *Record) bool {
		w.registry, w.latest, found = max(w.registry, r.Registry), max(w.latest, r.Time), true
		if r.Mark == mark { // else it is a Loss, which the reader takes in itself
			w.reader.rule.confirm()
		}
		return false
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: the record of the mark %v of %v is not there any more", ErrRetention, mark, w.options.Queue)
	}
	return err
}

// lost translates an error that came up while reading records that are durable.
func (w *Writer) lost(err error) error {
	switch {
	case errors.Is(err, ErrLost):
		return w.end(err)
	case errors.Is(err, ErrTorn):
		return w.end(fmt.Errorf("%w (%v)", ErrLost, err))
	}
	return err
}
