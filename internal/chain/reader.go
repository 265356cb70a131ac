package chain

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gannet/internal/operate"
)

// pullLimit is how many records one pull brings at most.
const pullLimit = 32

// Reader brings the counting records of a queue. It is used by one goroutine.
type Reader struct {
	stream Stream
	queue  Queue
	rule   *Follower
	pause  func(ctx context.Context, d time.Duration) error
}

// NewReader begins behind the mark. The first read sees whether the record of the mark
// is there.
func NewReader(stream Stream, queue Queue, mark Mark) *Reader {
	return &Reader{stream: stream, queue: queue, rule: NewFollower(queue, mark), pause: operate.Pause}
}

// Again goes back behind the mark of a counting record. The next read sees whether that record is
// still there. Records that were looked at before are not counted again in Seen.
func (r *Reader) Again(mark Mark) {
	rule := NewFollower(r.queue, mark)
	rule.seen, rule.judged = r.rule.seen, max(r.rule.judged, r.rule.next)
	r.rule = rule
}

// Last is the mark of the last counting record that was read.
func (r *Reader) Last() Mark { return r.rule.Last() }

// Next is the first offset that was not looked at.
func (r *Reader) Next() int64 { return r.rule.Next() }

// Seen is how many records got this verdict of the rule.
func (r *Reader) Seen(reason Reason) uint64 { return r.rule.Seen(reason) }

// Read hands the counting records of one pull to take. It waits for records until ctx ends. If
// take returns an error, Read stops and returns it; that record counts as read.
//
// ErrRetention, ErrLost, ErrTorn and ErrLater are final. After any other error the caller may
// read again.
func (r *Reader) Read(ctx context.Context, take func(*Record) error) error {
	return r.read(ctx, pullLimit, take)
}

func (r *Reader) read(ctx context.Context, limit int, take func(*Record) error) error {
	stored, err := r.stream.Pull(ctx, r.queue, r.rule.Next(), limit)
	if err != nil {
		return err
	}
	for _, s := range stored {
		record, why, err := r.rule.Feed(s.Offset, s.Body)
		if err != nil {
			return err
		}
		if why == Counts {
			if err := take(&record); err != nil {
				return err
			}
		}
	}
	return nil
}

// ReadTo hands all counting records before the offset end to take. The queue must have them.
func (r *Reader) ReadTo(ctx context.Context, end int64, take func(*Record) error) error {
	wait := time.Millisecond
	for r.rule.Next() < end {
		before := r.rule.Next()
		err := r.read(ctx, int(min(end-before, pullLimit)), take)
		switch {
		case errors.Is(err, ErrLagging):
			if err := r.pause(ctx, wait); err != nil {
				return err
			}
			wait = min(2*wait, 50*time.Millisecond)
		case err != nil:
			return err
		case r.rule.Next() == before:
			return fmt.Errorf("%w: %v gave nothing at offset %d", ErrLagging, r.queue, before)
		}
	}
	return nil
}

// Oldest gives the oldest counting record that a queue still has. The mark must be that of a
// counting record. ErrRetention says that the broker has removed even that record.
func Oldest(ctx context.Context, stream Stream, queue Queue, mark Mark) (oldest Record, err error) {
	first, _, err := stream.Bounds(ctx, queue)
	if err != nil {
		return oldest, err
	}
	// The prev of every record names a counting record. So the first record whose prev is still
	// there leads to the oldest one within a few steps.
	found := false
	for next := first; next < mark.Offset && !found; {
		stored, err := stream.Pull(ctx, queue, next, pullLimit)
		if err == nil && len(stored) == 0 {
			err = fmt.Errorf("%w: %v gave nothing at offset %d", ErrLagging, queue, next)
		}
		if err != nil {
			return oldest, err
		}
		for _, s := range stored {
			var h Head
			if _, err := h.Decode(s.Body); err == nil && h.Queue == queue && h.Prev.Offset >= first && h.Prev.Offset < s.Offset && s.Offset <= mark.Offset {
				mark, found = h.Prev, true
				break
			}
			next = s.Offset + 1
		}
	}
	err = Back(ctx, stream, queue, mark, func(r *Record) bool {
		oldest = *r
		return true
	})
	if err == nil && oldest.Writer == 0 {
		err = fmt.Errorf("%w: %v of %v", ErrRetention, mark, queue)
	}
	return oldest, err
}

// Back visits the counting records from the record of the mark backwards. It ends when visit
// returns false, at the beginning of the queue, or where the broker's retention has removed the
// next record. It also ends after it has visited a Loss, because a Loss has no prev. If the
// record of the mark is lost, Back visits the Loss in its place.
func Back(ctx context.Context, stream Stream, queue Queue, mark Mark, visit func(*Record) bool) error {
	for mark != Beginning {
		stored, err := stream.Pull(ctx, queue, mark.Offset, 1)
		if errors.Is(err, ErrRetention) {
			return nil
		}
		if err != nil {
			return err
		}
		var r Record
		if len(stored) != 1 || stored[0].Offset != mark.Offset {
			return fmt.Errorf("%w: the mark %v of %v is not there", ErrLost, mark, queue)
		}
		if r.Body, err = r.Head.Decode(stored[0].Body); errors.Is(err, ErrLater) {
			return err
		}
		r.Mark = Mark{Offset: mark.Offset, Writer: r.Writer, Number: r.Number}
		if err != nil || r.Queue != queue || r.Mark != mark && !r.covers(queue, mark) {
			return fmt.Errorf("%w: the mark %v of %v is not there", ErrLost, mark, queue)
		}
		if !visit(&r) {
			return nil
		}
		mark = r.Prev
	}
	return nil
}
