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

// TakeOver makes the queue this writer's: it appends an empty record on what is known,
// under a fresh writer id, and reads up to it. What counts there goes to Take, and if
// anything does, the empty record is void and another one follows. Once one counts,
// whatever anybody sent before and has not arrived is void for ever. TakeOver also says
// whether a record that was in doubt counts.
//
// It appends before it reads, because what lies before a record that was acknowledged
// is durable: nothing is taken in that a power cut may still take away.
//
// OldViewError says that somebody took it under a newer view of the registry.
// ErrRetention says that the mark lies behind the broker's retention, ErrLost that the
// broker does not have what it acknowledged: these need a human. After any other error
// TakeOver may be called again, and what was in doubt stays so.
func (w *Writer) TakeOver(ctx context.Context) (Doubt, error) {
	w.taken = false
	if w.dead != nil {
		return Doubt{}, w.dead
	}
	if last := w.reader.Last(); w.registry > 0 {
		// What was there may be lost meanwhile, and others may have appended as many records as
		// are missing: it is read again from the mark on.
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
			if ours = r.Writer == w.id; ours { // it is there twice
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

// confirm sees whether the mark is within the broker's retention and names what is there,
// and learns under which view of the registry its record was made.
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
		if r.Mark == mark { // else it is a Loss, which is read as what it is
			w.reader.rule.confirm()
		}
		return false
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: the record of the mark %v of %v is not there any more", ErrRetention, mark, w.options.Queue)
	}
	return err
}

// lost says what an error means that came of reading what is durable.
func (w *Writer) lost(err error) error {
	switch {
	case errors.Is(err, ErrLost):
		return w.end(err)
	case errors.Is(err, ErrTorn):
		return w.end(fmt.Errorf("%w (%v)", ErrLost, err))
	}
	return err
}
