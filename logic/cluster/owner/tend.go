package owner

import (
	"context"
	"errors"
	"time"

	"gannet/internal/operate"
)

const (
	// tick is how often a queue is looked at. Acks must be written within a second: what is left of
	// it when they are due must do for a tick and a record.
	tick = 50 * time.Millisecond

	// checkPause is how often Redis is asked for the state of a view: nothing else tells
	// that it was restarted while the queue was idle.
	checkPause = time.Second

	// refreshPause is how often it is looked whether the last record of an idle queue grows
	// old.
	refreshPause = time.Minute

	// tickRecords bounds the records of acks in one look at a queue, so that it is looked
	// at again.
	tickRecords = 64

	// drainRecords bounds the records of acks at a stop, which must end whatever devices ack
	// meanwhile. It is twice what can wait: acks in as many conversations as a ledger lets wait,
	// from 64 devices of two users each.
	drainRecords = 1024
)

// tend does what a queue needs without being asked, until the Owner closes.
func (q *queue) tend() {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var checked, refreshed time.Duration
	for {
		select {
		case <-q.owner.ending.Done():
			return
		case <-ticker.C:
		}
		now := operate.Elapsed()
		t, ours := q.term.Load(), q.ours()
		switch {
		case t == nil && ours, t != nil && !ours, t != nil && t.unsettled.Load():
			if now >= time.Duration(q.again.Load()) {
				q.tendTurn(func(ctx context.Context) error { _, err := q.ready(ctx); return err })
			}
		case t == nil:
			q.able()
		case now-checked >= checkPause:
			checked = now
			aged := now-refreshed >= refreshPause
			if aged {
				refreshed = now
			}
			q.tendTurn(func(ctx context.Context) error { return q.check(ctx, aged) })
		case t.ledger.Due(q.owner.now(), q.leaving()):
			q.tendAcks()
		}
	}
}

// tendTurn calls do in a turn of the queue, and survives a bug in it. It drops the error, which was
// logged already.
func (q *queue) tendTurn(do func(ctx context.Context) error) {
	_ = q.turn(q.owner.ending, func(ctx context.Context) error { return q.survive("tending a queue", func() error { return do(ctx) }) })
}

func (o *Owner) now() uint64 { return uint64(o.options.Now().UnixMilli()) }

// tendAcks writes the acks that are due. Each record has a turn of its own, so that a batch that
// comes meanwhile waits for one record only.
func (q *queue) tendAcks() {
	for range tickRecords {
		more := false
		q.tendTurn(func(ctx context.Context) (err error) {
			more, err = q.ackRecord(ctx, q.leaving())
			return err
		})
		if !more {
			return
		}
	}
}

// ackRecord writes a record of acks that are due, or of any, and says whether it did.
func (q *queue) ackRecord(ctx context.Context, all bool) (bool, error) {
	t, err := q.ready(ctx)
	if err != nil || !t.ledger.Due(q.owner.now(), all) {
		return false, err
	}
	if err := t.record(ctx, nil, all); err != nil {
		return false, q.tried(t, err)
	}
	q.owner.troubles.acks.Add(1)
	return true, nil
}

// errAcksWait says that acks wait still.
var errAcksWait = errors.New("not all acks were written")

// allAcks writes all acks that wait, in as many records as it takes.
func (q *queue) allAcks(ctx context.Context) error {
	for range drainRecords {
		if more, err := q.ackRecord(ctx, true); err != nil || !more {
			return err
		}
	}
	return unavailable(errAcksWait)
}

// flush writes all acks that wait, where the queue is ours.
func (q *queue) flush(ctx context.Context) error {
	if q.term.Load() == nil {
		return nil
	}
	if err := q.allAcks(ctx); !errors.Is(err, ErrElsewhere) {
		return err
	}
	return nil
}

// check asks Redis how the view is and, if it is well and aged is set, appends an empty record
// where the last one grows old.
func (q *queue) check(ctx context.Context, aged bool) error {
	t, err := q.ready(ctx)
	if err != nil {
		return err
	}
	err = t.check(ctx)
	if err == nil && aged {
		err = t.refresh(ctx)
	}
	if err == nil {
		q.looked()
	}
	return q.tried(t, err)
}
