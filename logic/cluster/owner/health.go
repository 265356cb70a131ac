package owner

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"gannet/internal/chain"
)

// unableTime is after how long Health names a queue of this node into which nothing could be
// written.
const unableTime = time.Minute

// unable says since when nothing could be written into a queue of this node. Other goroutines read
// it, so it is replaced and never changed.
type unable struct {
	since time.Time
	last  time.Time // at which a try failed
	err   error     // of that try; nil: the first try has not ended
	said  bool      // in the log
}

// begins notes that the queue is this node's, and that nothing was written yet.
func (q *queue) begins() {
	now := q.owner.options.Now()
	q.unable.CompareAndSwap(nil, &unable{since: now, last: now})
}

// fails notes a try that failed.
func (q *queue) fails(err error) {
	o := q.owner
	now := o.options.Now()
	u := unable{since: now}
	if old := q.unable.Load(); old != nil {
		u = *old
	}
	u.last, u.err = now, err
	if now.Sub(u.since) > unableTime && !u.said {
		u.said = true
		if o.troubles.unable.Note() {
			o.options.Log.Error("owner: a queue has not been writable for long", "queue", q.name.String(), "since", u.since.Format(time.DateTime), "err", err.Error())
		}
	}
	q.unable.Store(&u)
}

// able notes that a record was written, or that the queue is not this node's.
func (q *queue) able() { q.unable.Store(nil) }

// looked notes that Redis has the view, and that readers may believe it. That says nothing about a
// broker that has refused a record: only the next write shows whether it takes records again. If
// nobody writes, the refusal counts for unableTime.
func (q *queue) looked() {
	u := q.unable.Load()
	if u != nil && (!errors.Is(u.err, chain.ErrRefused) || q.owner.options.Now().Sub(u.last) > unableTime) {
		q.able()
	}
}

// Health returns an error if queues of this node need attention: those that are stopped, those that
// take no messages because transfer is behind, those that the broker does not have any more, those
// that have not been writable for over a minute (unableTime), and those of which the history gets
// nothing until a human has looked.
func (o *Owner) Health() error {
	var stopped []string
	var why error // the first of them is stopped
	var all []error
	now := o.options.Now()
	for _, q := range o.queues {
		u := q.unable.Load()
		if err := q.standing(); err != nil && q.ours() {
			all = append(all, err)
		}
		switch {
		case !q.ours():
		case State(q.state.Load()) == Stopped:
			if stopped = append(stopped, q.name.String()); len(stopped) == 1 && u != nil {
				why = u.err
			}
		case q.late.Load():
			all = append(all, q.lateness())
		case u != nil && (now.Sub(u.since) > unableTime || errors.Is(u.err, chain.ErrNoQueue)):
			err := u.err
			if err == nil {
				err = errTaking
			}
			all = append(all, fmt.Errorf("%v has not been writable since %s, for %v: %w", q.name, u.since.Format(time.DateTime), now.Sub(u.since).Round(time.Second), err))
		}
	}
	if len(stopped) > 0 {
		all = append(all, fmt.Errorf("stopped are %s, and the log says of each why; %s: %w", strings.Join(stopped, ", "), stopped[0], cmp.Or(why, ErrStopped)))
	}
	return errors.Join(all...)
}

// errTaking says that no try to take a queue over has ended.
var errTaking = errors.New("it is being taken over")
