package chain

import (
	"errors"
	"fmt"
)

// Reason is the verdict of the rule on a record: that it counts, or why it does not.
type Reason uint8

// The reasons.
const (
	Counts  Reason = 0 // it counts
	Known   Reason = 1 // it is the record of the mark at which the follower began
	Stale   Reason = 2 // its prev is before the last counting record (its writer lost the queue), or it is a repeated Loss
	Foreign Reason = 3 // its prev is a record that does not count, or lies at another offset
	Broken  Reason = 4 // it is no record
	Other   Reason = 5 // it is of another queue

	reasons = 6
)

var reasonNames = [reasons]string{"counts", "known", "stale", "foreign", "broken", "other queue"}

func (r Reason) String() string { return reasonNames[r] }

// ErrLost says that the broker does not have what it acknowledged: the record of a mark
// is not there, or offsets are missing. Nobody may go on; a human has to look.
var ErrLost = errors.New("chain: the broker lost what it had acknowledged")

// errHole is an ErrLost that cannot come from a cut at the end of the queue.
var errHole = fmt.Errorf("%w: offsets are missing", ErrLost)

// ErrTorn says that a power cut removed the end of the queue, and with it a record that this
// follower has read. Nobody had been told that the record is durable. The reader must begin again
// from a mark that is known to be durable.
var ErrTorn = errors.New("chain: the end of the queue was replaced")

// Follower applies the rule of the chain to the records of a queue, in order. It does nothing
// else, so that every reader shares the same rule. Only one goroutine may use it.
//
// A Follower that begins at a mark is first given the record of that mark. It checks that this
// record, or a Loss in its place, is there.
type Follower struct {
	queue     Queue
	last      Mark
	next      int64
	confirmed bool  // the record of the first mark was seen
	through   int64 // Through of the last Loss: a prev below it may be a lost record
	seen      [reasons]uint64
	judged    int64 // records before this offset are in seen already
}

// NewFollower begins behind the mark, or at offset 0 if the mark is Beginning.
func NewFollower(queue Queue, mark Mark) *Follower {
	f := &Follower{queue: queue, last: mark, next: mark.Offset, confirmed: mark == Beginning}
	if f.confirmed {
		f.next = 0
	}
	return f
}

// Last is the mark of the last counting record.
func (f *Follower) Last() Mark { return f.last }

// Next is the offset of the record to feed next. At first that is the record of the mark itself.
func (f *Follower) Next() int64 { return f.next }

// Seen is how many records got this verdict.
func (f *Follower) Seen(reason Reason) uint64 { return f.seen[reason] }

// confirm notes that the record of the mark is there, so that it need not be fed.
func (f *Follower) confirm() {
	if !f.confirmed {
		f.confirmed, f.next = true, f.last.Offset+1
	}
}

// Feed judges the record at an offset, which must be Next. It returns the record if it counts,
// and the reason otherwise. After an error (ErrLost, ErrTorn or ErrLater) nothing may be derived
// from the queue any more.
func (f *Follower) Feed(offset int64, b []byte) (r Record, why Reason, err error) {
	if offset != f.next {
		return r, 0, fmt.Errorf("%w: %v has offset %d where %d should be", errHole, f.queue, offset, f.next)
	}
	body, err := r.Head.Decode(b)
	if errors.Is(err, ErrLater) {
		return r, 0, fmt.Errorf("%w: %v at offset %d", err, f.queue, offset)
	}
	if why, err = f.judge(offset, &r.Head, err != nil); why == Counts {
		r.Mark, r.Body = f.last, body
	}
	return r, why, err
}

// judge is the rule.
func (f *Follower) judge(offset int64, h *Head, broken bool) (why Reason, err error) {
	own := Mark{Offset: offset, Writer: h.Writer, Number: h.Number}
	loss := !broken && h.covers(f.queue, f.last)
	switch {
	case !f.confirmed && !broken && own == f.last && h.Queue == f.queue:
		f.confirmed, why = true, Known
		f.through = h.Through
	case !f.confirmed && !loss:
		return 0, fmt.Errorf("%w: the mark %v of %v is not there", ErrLost, f.last, f.queue)
	case broken:
		why = Broken
	case h.Queue != f.queue:
		why = Other
	case loss:
		f.confirmed, why, f.last = true, Counts, own
		f.through = h.Through
	case h.Kind == Loss:
		why = Stale
	case h.Prev == f.last:
		why, f.last = Counts, own
	case h.Prev.Offset < f.last.Offset, h.Prev.Offset < f.through:
		why = Stale
	default:
		why = Foreign
		// A writer builds only on durable records. So the record that this writer calls the last
		// counting one does count, and the one that this follower read is gone. A writer can be
		// wrong only in its first record, if the broker lost something. Its second record shows
		// that it saw the first one count.
		if h.Number > 1 && h.Prev.Offset < offset {
			err = fmt.Errorf("%w: %v goes on from %v, not from %v", ErrTorn, f.queue, h.Prev, f.last)
		}
	}
	if offset >= f.judged {
		f.seen[why]++
	}
	f.next = offset + 1
	return why, err
}
