package owner

import (
	"cmp"
	"context"
	"time"

	"gannet/internal/chain"
	"gannet/internal/operate"
)

const (
	// retentionPause is between two looks at the oldest records of the broker, which removes
	// some once a day.
	retentionPause = time.Hour

	// retentionLooks is how many looks there are in the time for which the broker keeps records,
	// where that is short: four in its last tenth, in which senders wait for transfer (lateShare).
	retentionLooks = 40

	// retentionAgain is after how long a look that failed is repeated, and one that found transfer
	// behind, so that senders soon hear that it goes on.
	retentionAgain = time.Minute

	// retentionSoon is how soon queues are looked at after a take-over; one look serves all that
	// were taken over together. It is also the least time between two looks, however short the
	// configured retention is.
	retentionSoon = 5 * time.Second

	// retentionGap is how much younger the oldest record left may be than the newest removed one:
	// an idle queue gets one record an hour.
	retentionGap = 2 * time.Hour

	// retentionTime is for how long a look at a queue may take. It is no hurry.
	retentionTime = 5 * time.Second
)

// pauses gives the time from one look to the next, and the time after a look that is to be repeated
// soon.
func pauses(stated time.Duration) (pause, again time.Duration) {
	pause = max(min(retentionPause, stated/retentionLooks), retentionSoon)
	return pause, min(retentionAgain, pause)
}

// watchRetention checks from time to time, until the Owner closes, whether the broker keeps records
// for as long as configured, and whether transfer takes them before they go. Queues that were taken
// over are looked at soon, because their last owner may have left them late.
func (o *Owner) watchRetention() {
	pause, again := pauses(o.options.Retention)
	due := operate.Elapsed() + pause
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-o.ending.Done():
			return
		case <-o.takes:
			// A queue that is taken over again and again never puts the look off.
			if soon := operate.Elapsed() + retentionSoon; soon < due {
				due = soon
				timer.Reset(retentionSoon)
			}
			continue
		case <-timer.C:
		}
		next := pause
		for _, q := range o.queues {
			if q.term.Load() == nil {
				q.late.Store(false)
				continue
			}
			err := q.survive("looking at retention", q.lookAtRetention)
			if o.options.Reader != nil {
				err = cmp.Or(err, q.survive("looking at transfer's mark", q.lookAtReader))
			}
			if err != nil || q.late.Load() {
				next = again
			}
		}
		due = operate.Elapsed() + next
		timer.Reset(next)
	}
}

// lookAtRetention warns if the broker removes records sooner than configured. Records that are
// removed before the view and the history have taken them in are lost.
func (q *queue) lookAtRetention() error {
	o := q.owner
	ctx, cancel := context.WithTimeout(o.ending, retentionTime)
	defer cancel()
	first, _, err := o.options.Stream.Bounds(ctx, q.name)
	if err != nil || first == 0 { // nothing was removed
		return err
	}
	stored, err := o.options.Stream.Pull(ctx, q.name, first, 1)
	if err != nil || len(stored) == 0 {
		return err
	}
	var h chain.Head
	if _, err := h.Decode(stored[0].Body); err != nil {
		return nil // of somebody else; whoever reads the queue counts it
	}
	kept := o.options.Now().Sub(time.UnixMilli(int64(h.Time)))
	if kept+retentionGap < o.options.Retention && o.troubles.young.Note() {
		o.options.Log.Warn("owner: the broker removes records sooner than it was said to: its disk may be full, or its fileReservedTime shorter; a view or a history that is away for longer than it keeps them has to be mended",
			"queue", q.name.String(), "kept", kept.Round(time.Second), "--broker-retention", o.options.Retention)
	}
	return nil
}
