package owner

import (
	"cmp"
	"context"
	"time"

	"gannet/internal/chain"
)

const (
	// retentionPause is between two looks at the oldest records of the broker, which removes
	// some once a day. The first comes after retentionFirst, when the queues are taken, and
	// one that failed is repeated as soon.
	retentionPause = time.Hour
	retentionFirst = time.Minute

	// retentionGap is how much younger than what was removed the oldest record that is left
	// may be: an idle queue has one an hour.
	retentionGap = 2 * time.Hour

	// retentionTime is for how long a look at a queue may take. It is no hurry.
	retentionTime = 5 * time.Second
)

// watchRetention looks from time to time whether the broker keeps records for as long as it
// was said to, and whether transfer takes them before, until the Owner closes.
func (o *Owner) watchRetention() {
	timer := time.NewTimer(retentionFirst)
	defer timer.Stop()
	for {
		select {
		case <-o.ending.Done():
			return
		case <-timer.C:
		}
		pause := retentionPause
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
				pause = retentionFirst
			}
		}
		timer.Reset(pause)
	}
}

// lookAtRetention warns if the broker has removed records that are younger than it was said
// to remove. What a view and the history have not taken in when it is removed is lost.
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
