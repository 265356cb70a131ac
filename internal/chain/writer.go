package chain

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"gannet/internal/operate"
)

// The errors of a Writer, beside those of its Stream and of the rule.
var (
	// ErrMoved says that somebody else has taken the queue over: the record does not count and
	// never will. Everything that the caller knows about the queue is out of date.
	ErrMoved = errors.New("chain: somebody else writes the queue")

	// ErrUnknown says that the record may or may not count. TakeOver finds out.
	ErrUnknown = errors.New("chain: it is not known whether the record counts")

	// ErrNotTaken says that the writer has to take its queue over first.
	ErrNotTaken = errors.New("chain: the queue has not been taken over")

	// ErrTooLarge says that a record is larger than the writer may make it.
	ErrTooLarge = errors.New("chain: the record is too large")
)

// OldViewError says that the queue was taken by a writer that knows a newer view of the registry.
// Only a node whose own view is at least as new may take it from that writer.
type OldViewError struct {
	Queue        Queue
	Ours, Theirs uint64 // versions of the registry
}

func (e *OldViewError) Error() string {
	return fmt.Sprintf("chain: %v was taken over under registry version %d, ours is %d", e.Queue, e.Theirs, e.Ours)
}

type Options struct {
	Stream   Stream
	Queue    Queue
	Registry func() uint64    // version of the newest view of the registry that gives us the queue; it never falls
	Now      func() time.Time // nil: time.Now
	Most     int              // bytes of a record at most, 0: MaxRecord

	// Take gets every counting record whose mark Append did not return: during TakeOver, and
	// before Append returns ErrMoved or ErrUnknown. A caller that keeps state in memory brings it
	// up to date with them. If it is unknown whether a record counts, the first call of Take
	// tells: either it gets that record, with Sent set, or that record does not count. An error
	// of Take ends the writer.
	Take func(*Record) error

	random func() uint64
	pause  func(ctx context.Context, d time.Duration) error
}

// freshness is how old the last counting record of an idle queue becomes at most.
const freshness = time.Hour

// Writer appends to a queue, one record at a time. It is used by one goroutine.
type Writer struct {
	options Options
	reader  *Reader // what is known of the queue
	dead    error   // if set, the error that ended the writer

	taken  bool   // the last counting record is ours, so Append may be called
	id     uint64 // of this writer; another after each doubt
	number uint64 // of its last record

	view     uint64 // version of the registry under which we took it over
	registry uint64 // the newest version under which any writer took it over
	latest   uint64 // Unix milliseconds of the last counting record

	doubt Doubt // the record that was sent and whose outcome is unknown
}

// NewWriter makes a writer that begins behind the mark. The mark must name a record that is known
// to be durable, or be Beginning. The writer must take its queue over before it can append.
func NewWriter(options Options, mark Mark) *Writer {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Most == 0 {
		options.Most = MaxRecord
	}
	if options.random == nil {
		options.random = rand.Uint64
	}
	if options.pause == nil {
		options.pause = operate.Pause
	}
	w := &Writer{options: options, reader: NewReader(options.Stream, options.Queue, mark)}
	w.reader.pause = options.pause
	return w
}

// Last is the mark of the last counting record that is known.
func (w *Writer) Last() Mark { return w.reader.Last() }

// Taken says whether Append may be called.
func (w *Writer) Taken() bool { return w.taken }

// Append appends a record with the encoded entries and gives its mark. The record then counts and
// is durable, and no foreign record counts between it and the last one that was known before.
//
// ErrRefused, ErrTooLarge and ErrNotTaken say that nothing was sent. After ErrMoved the record is
// void for ever. After ErrUnknown and any other error the record may count; TakeOver finds out.
func (w *Writer) Append(ctx context.Context, entries []byte) (Mark, error) {
	return w.append(ctx, Entries, entries)
}

// Refresh appends an empty record if the last counting one is an hour old, so that it
// never comes to lie behind the broker's retention. Its errors are those of Append.
func (w *Writer) Refresh(ctx context.Context) error {
	if !w.taken || w.options.Now().Sub(time.UnixMilli(int64(w.latest))) < freshness {
		return nil
	}
	_, err := w.append(ctx, Empty, nil)
	return err
}

func (w *Writer) append(ctx context.Context, kind Kind, body []byte) (Mark, error) {
	if w.dead != nil {
		return Mark{}, w.dead
	}
	if !w.taken {
		return Mark{}, ErrNotTaken
	}
	head := w.head(kind, w.number+1)
	if size := HeadSize + len(body); size > w.options.Most {
		return Mark{}, fmt.Errorf("%w: %d bytes, %d are allowed", ErrTooLarge, size, w.options.Most)
	}
	offset, err := w.options.Stream.Append(ctx, w.options.Queue, head.Append(make([]byte, 0, HeadSize+len(body)), body))
	if errors.Is(err, ErrRefused) {
		return Mark{}, err
	}
	w.number++
	w.taken = false // until we know that it counts
	w.doubt = Doubt{writer: w.id, number: w.number}
	if err != nil {
		return Mark{}, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	next := w.reader.Next()
	if offset < next {
		return Mark{}, w.end(fmt.Errorf("%w: %v gave a record offset %d, and had come to %d", ErrLost, w.options.Queue, offset, next))
	}
	if offset == next {
		if _, err := w.reader.rule.judge(offset, &head, false); err != nil {
			return Mark{}, w.end(err)
		}
		w.keep(&head)
		return w.reader.Last(), nil
	}
	return w.between(ctx, offset, &head)
}

// between reads the records before ours, which lies at offset. If our record is in the queue
// twice, the first copy may lie before offset.
func (w *Writer) between(ctx context.Context, offset int64, head *Head) (Mark, error) {
	var counting []Record
	err := w.reader.ReadTo(ctx, offset, func(r *Record) error {
		counting = append(counting, *r)
		return nil
	})
	if err == nil {
		var why Reason
		if why, err = w.reader.rule.judge(offset, head, false); why == Counts {
			counting = append(counting, Record{Head: *head, Mark: w.reader.Last()})
		}
	}
	if err == nil && len(counting) == 1 && counting[0].Writer == w.id {
		w.keep(head)
		return w.reader.Last(), nil
	}
	for i := range counting {
		if err := w.take(&counting[i]); err != nil {
			return Mark{}, err
		}
	}
	if err = w.lost(err); w.dead != nil {
		return Mark{}, err
	}
	switch {
	case err != nil:
		return Mark{}, fmt.Errorf("%w: %w", ErrUnknown, err)
	case w.doubt.Counts: // and somebody took the queue over behind it
		return Mark{}, ErrUnknown
	}
	w.doubt = Doubt{}
	return Mark{}, fmt.Errorf("%w: %v goes on with %v", ErrMoved, w.options.Queue, w.reader.Last())
}

// end ends the writer.
func (w *Writer) end(err error) error {
	w.dead, w.taken = err, false
	return err
}

// head makes the head of a record that follows the last counting record that is known.
func (w *Writer) head(kind Kind, number uint64) Head {
	return Head{
		Kind: kind, Queue: w.options.Queue, Prev: w.reader.Last(), Writer: w.id, Number: number,
		Registry: w.view, Time: max(uint64(w.options.Now().UnixMilli()), w.latest),
	}
}

// keep notes that our newest record is the last that counts.
func (w *Writer) keep(head *Head) {
	w.taken, w.doubt = true, Doubt{}
	w.latest, w.registry = head.Time, max(w.registry, head.Registry)
}

// take handles each counting record that is not our newest one.
func (w *Writer) take(r *Record) error {
	w.latest, w.registry = max(w.latest, r.Time), max(w.registry, r.Registry)
	if r.Writer == w.doubt.writer && r.Number == w.doubt.number {
		w.doubt.Mark, w.doubt.Counts, r.Sent = r.Mark, true, true
	}
	if err := w.options.Take(r); err != nil {
		return w.end(err)
	}
	return nil
}
