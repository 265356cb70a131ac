package cluster

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"gannet/internal/chain"
)

// failingTime is how long following a queue must fail again and again before Health names it, and
// how long it must go well before Health stops naming it.
const failingTime = time.Minute

// failing is kept for a queue when following it ends in errors.
type failing struct {
	since, last time.Time // times of the first and the last error
	err         error     // the last
}

// lasts says whether it has failed again and again for long.
func (f failing) lasts(now time.Time) bool {
	return now.Sub(f.since) > failingTime && now.Sub(f.last) <= failingTime
}

// failed notes that following a queue ended in an error.
func (q *Queue) failed(queue int, err error) {
	now := q.now()
	q.mu.Lock()
	defer q.mu.Unlock()
	f, ok := q.failing[queue]
	if !ok || now.Sub(f.last) > failingTime {
		f.since = now
	}
	f.last, f.err = now, err
	q.failing[queue] = f
}

// Health gives an error for the queues of this node's share that could not be followed for over a
// minute: their records are not pushed to anybody. A queue is named for failingTime after the last
// failure, because one that fails every few seconds is not well in between. How long ago that failure
// was tells the reader whether the queue may be followed again by now.
func (q *Queue) Health() error {
	now := q.now()
	q.mu.Lock()
	defer q.mu.Unlock()
	var all []error
	for _, n := range slices.Sorted(maps.Keys(q.failing)) {
		f, name := q.failing[n], chain.Queue{Class: q.class, Number: n}
		if !f.lasts(now) {
			continue
		}
		if mine, _ := q.share.mine(name); mine {
			all = append(all, fmt.Errorf("%v: following it has failed again and again since %s, the last time %v ago (a minute without a failure ends this): %w",
				name, f.since.Format(time.DateTime), now.Sub(f.last).Round(time.Second), f.err))
		}
	}
	return errors.Join(all...)
}
