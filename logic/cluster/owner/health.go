package owner

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"gannet/internal/chain"
)

// unableTime is for how long nothing could be written into a queue of this node when Health
// names it.
const unableTime = time.Minute

// unable says of a queue of this node that nothing can be written into it. Others read it,
// so none that they may have seen is changed.
type unable struct {
	since time.Time
	last  time.Time // at which a try failed
	err   error     // of that one; nil: the first is not over
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

// looked notes that Redis has the view, and readers may believe it. Whether the broker takes
// records again that it refused shows only when somebody writes, and where nobody does it
// counts for unableTime.
func (q *queue) looked() {
	u := q.unable.Load()
	if u != nil && (!errors.Is(u.err, chain.ErrRefused) || q.owner.options.Now().Sub(u.last) > unableTime) {
		q.able()
	}
}

// Health says which queues of this node are stopped, and which have not been writable for
// over a minute, if any are.
func (o *Owner) Health() error {
	var stopped []string
	var all []error
	now := o.options.Now()
	for _, q := range o.queues {
		u := q.unable.Load()
		switch {
		case !q.ours():
		case State(q.state.Load()) == Stopped:
			stopped = append(stopped, q.name.String())
		case q.late.Load():
			all = append(all, q.lateness())
		case u != nil && now.Sub(u.since) > unableTime:
			err := u.err
			if err == nil {
				err = errTaking
			}
			all = append(all, fmt.Errorf("%v has not been writable since %s, for %v: %w", q.name, u.since.Format(time.DateTime), now.Sub(u.since).Round(time.Second), err))
		}
	}
	if len(stopped) > 0 {
		all = append(all, fmt.Errorf("stopped, the log says why: %s", strings.Join(stopped, ", ")))
	}
	return errors.Join(all...)
}

// errTaking says that no try to take a queue over has ended.
var errTaking = errors.New("it is being taken over")
