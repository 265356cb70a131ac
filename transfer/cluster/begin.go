package cluster

import (
	"context"
	"errors"
	"fmt"

	"gannet/internal/chain"
	"gannet/internal/operate"
)

// begin makes the follower of a queue. It begins at the mark in Redis, or at the mark of the view
// if Redis has none.
func (q *Queue) begin(ctx context.Context, name chain.Queue, take take) (*follower, error) {
	mark, found, err := q.where(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := q.within(ctx, name, mark); err != nil {
		return nil, err
	}
	f := &follower{
		queue: q, name: name, take: take, reader: chain.NewReader(q.pulled(), name, mark), undone: newUndone(mark),
		last: mark, view: mark, met: true, pause: lookPause, saved: mark,
	}
	if found {
		epochs, err := q.state.owing(ctx, name)
		if err != nil {
			return nil, err
		}
		f.owed = epochs
		f.adopt(ctx, epochs)
	}
	if found || mark == chain.Beginning {
		return f, nil
	}
	// Nobody knows which records up to the mark were not pushed to connected devices yet.
	if q.counts.hinted.Note() {
		q.log.Warn("transfer: Redis has no mark of a queue, everybody is hinted to sync", "queue", name, "begins", mark)
	}
	f.undone, f.saved = newUndone(chain.Beginning), chain.Beginning
	h := f.undone.add(&chain.Record{Mark: mark})
	go func() {
		if q.hints.everybody(ctx) == nil {
			h.finish()
		}
	}()
	return f, nil
}

// where gives the mark to begin at. If Redis has no mark, where waits until the view of the queue
// is confirmed and gives the view's mark; found is then false.
func (q *Queue) where(ctx context.Context, name chain.Queue) (mark chain.Mark, found bool, err error) {
	for pause := failPause; ; pause = min(2*pause, failPauseMost) {
		mark, found, err = q.state.own(ctx, name)
		if err == nil && !found {
			var ok bool
			if mark, ok, err = q.state.confirmed(ctx, name); err == nil && ok {
				return mark, false, nil
			}
		}
		switch {
		case ctx.Err() != nil:
			return mark, false, ctx.Err()
		case err == nil && found:
			return mark, true, nil
		case errors.Is(err, ErrDamaged):
			return mark, false, err
		case err == nil:
			if q.counts.unconfirmed.Note() {
				q.log.Warn("transfer: Redis has no mark of a queue, and its view is not confirmed: it is waited for", "queue", name)
			}
		case q.counts.failedRedis.Note():
			q.log.Warn("transfer: Redis does not say where to begin", "queue", name, "error", err)
		}
		if err := operate.Pause(ctx, pause); err != nil {
			return mark, false, err
		}
	}
}

// within returns nil if a mark lies within the broker's retention.
func (q *Queue) within(ctx context.Context, name chain.Queue, mark chain.Mark) error {
	for pause := failPause; ; pause = min(2*pause, failPauseMost) {
		first, _, err := q.stream.Bounds(ctx, name)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && first > max(mark.Offset, 0):
			q.counts.refused.Count()
			return fmt.Errorf("%w: transfer's mark in %v is %v, and the broker has nothing before offset %d: what lies between was perhaps never pushed. "+
				"Run gannet mend, which forgets the mark: everybody is hinted to sync, and the queue goes on from its view", chain.ErrRetention, name, mark, first)
		case err == nil:
			return nil
		case q.counts.failedPull.Note():
			q.log.Warn("transfer: a queue cannot be read just now", "queue", name, "error", err)
		}
		if err := operate.Pause(ctx, pause); err != nil {
			return err
		}
	}
}

// Check gives an error for each of the queues that cannot be followed now: its mark is damaged,
// or behind the broker's retention. It is for processes that should then refuse to start.
func (q *Queue) Check(ctx context.Context, queues ...int) error {
	var all []error
	for _, n := range queues {
		name := chain.Queue{Class: q.class, Number: n}
		mark, found, err := q.state.own(ctx, name)
		if err == nil && found {
			err = q.within(ctx, name, mark)
		}
		if err != nil {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

// Mark gives the mark of a queue that Redis has; found is false where it has none.
func (q *Queue) Mark(ctx context.Context, queue int) (mark chain.Mark, found bool, err error) {
	return q.state.own(ctx, chain.Queue{Class: q.class, Number: queue})
}

// Begin sets the marks of queues to the beginning, so that the first follower ever begins with
// the first record. It is for making a cluster. It changes nothing if Redis has a mark.
func (q *Queue) Begin(ctx context.Context, queues ...int) error {
	for _, n := range queues {
		if err := q.state.begin(ctx, chain.Queue{Class: q.class, Number: n}); err != nil {
			return err
		}
	}
	return nil
}

// Forget removes the mark of a queue. The next follower begins at the mark of the view and hints
// everybody to sync. Nobody may follow the queue meanwhile.
func (q *Queue) Forget(ctx context.Context, queue int) error {
	return q.state.forget(ctx, chain.Queue{Class: q.class, Number: queue})
}
