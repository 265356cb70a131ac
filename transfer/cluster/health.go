package cluster

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"gannet/internal/chain"
)

// failingTime is for how long following a queue has to fail again and again until Health
// names it, and for how long it has to go well until that is over.
const failingTime = time.Minute

// failing says of a queue that following it ended in errors.
type failing struct {
	since, last time.Time // the first and the last of them
	err         error     // the last
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

// Health says which queues of this node's share cannot be followed, as far as that has been
// so for over a minute: what stands in them is not pushed to anybody.
func (q *Queue) Health() error {
	now := q.now()
	q.mu.Lock()
	defer q.mu.Unlock()
	var all []error
	for _, n := range slices.Sorted(maps.Keys(q.failing)) {
		f, name := q.failing[n], chain.Queue{Class: q.class, Number: n}
		if now.Sub(f.since) <= failingTime || now.Sub(f.last) > failingTime {
			continue
		}
		if mine, _ := q.share.mine(name); mine {
			all = append(all, fmt.Errorf("%v cannot be followed since %s, for %v: %w", name, f.since.Format(time.DateTime), now.Sub(f.since).Round(time.Second), f.err))
		}
	}
	return errors.Join(all...)
}
