package chain

import (
	"errors"
	"fmt"
)

// Reason says why a record does not count.
type Reason uint8

// The reasons.
const (
	Counts  Reason = 0 // it counts
	Known   Reason = 1 // it is the one that the follower's mark names
	Stale   Reason = 2 // it names a record before the last counting one: its writer had lost the queue; or is a Loss that was taken in
	Foreign Reason = 3 // it names a record that does not count, or one at another place
	Broken  Reason = 4 // it is no record
	Other   Reason = 5 // it is of another queue

	reasons = 6
)

var reasonNames = [reasons]string{"counts", "known", "stale", "foreign", "broken", "other queue"}

func (r Reason) String() string { return reasonNames[r] }

// ErrLost says that the broker does not have what it acknowledged: the record of a mark
// is not there, or offsets are missing. Nobody may go on; a human has to look.
var ErrLost = errors.New("chain: the broker lost what it had acknowledged")

// errHole is an ErrLost that no cut at the end of the queue explains.
var errHole = fmt.Errorf("%w: offsets are missing", ErrLost)

// ErrTorn says that a record which was read, but which nobody had been told is durable,
// is gone: a power cut took the end of the queue. Whoever reads begins again from a mark
// that is known to be durable.
var ErrTorn = errors.New("chain: the end of the queue was replaced")

// Follower applies the rule of the chain to the records of a queue, in order. It does
// nothing else, so that everybody who follows the queue has the same rule. It is used
// by one goroutine.
//
// One that begins at a mark is first given the record of that mark and sees whether it
// is there, or a Loss at its place.
type Follower struct {
	queue     Queue
	last      Mark
	next      int64
	confirmed bool  // the record of the first mark was seen
	through   int64 // of the last Loss: what names a record before it may build on what is lost
	seen      [reasons]uint64
}

// NewFollower begins behind the mark.
func NewFollower(queue Queue, mark Mark) *Follower {
	f := &Follower{queue: queue, last: mark, next: mark.Offset, confirmed: mark == Beginning}
	if f.confirmed {
		f.next = 0
	}
	return f
}

// Last is the mark of the last counting record.
func (f *Follower) Last() Mark { return f.last }

// Next is the first offset that it has not looked at. It is that of the mark itself
// until its record was seen.
func (f *Follower) Next() int64 { return f.next }

// Seen is how many records it was given that ended for the reason.
func (f *Follower) Seen(reason Reason) uint64 { return f.seen[reason] }

// confirm says that the record of the mark is there.
func (f *Follower) confirm() {
	if !f.confirmed {
		f.confirmed, f.next = true, f.last.Offset+1
	}
}

// Feed gives it the record at an offset, which must be Next. A record that counts is
// returned; any other has the Reason. After an error nothing may be derived from the
// queue any more: ErrLost, ErrTorn or ErrLater.
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
		// Writers build on what is durable alone, so what this one takes for the last
		// counting record is it, and what this follower took for it is not there any more.
		// With its first record a writer that the broker betrayed may err; with the second
		// it has seen that the first one counts.
		if h.Number > 1 && h.Prev.Offset < offset {
			err = fmt.Errorf("%w: %v goes on from %v, not from %v", ErrTorn, f.queue, h.Prev, f.last)
		}
	}
	f.seen[why]++
	f.next = offset + 1
	return why, err
}
