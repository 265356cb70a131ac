package owner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gannet/internal/chain"
)

// lateShare is from which part of the time on, for which the broker keeps records, a record
// that its reader has not taken is an old one: the rest is for getting transfer to run.
const lateShare = 0.9

// lateLook is how many records are looked at for one with a time.
const lateLook = 32

// errLate says that senders wait for what reads the queue.
var errLate = errors.New("owner: the broker soon removes what was not pushed yet")

// lookAtReader sees whether what reads the queue, transfer, is so far behind that the broker
// soon removes what it has not taken. Then senders are told busy, so that what they send is
// not lost to those who wait for it. A reader that is dead, or behind, stops nobody before.
func (q *queue) lookAtReader() error {
	o := q.owner
	ctx, cancel := context.WithTimeout(o.ending, retentionTime)
	defer cancel()
	mark, err := o.options.Reader(ctx, q.name)
	if err != nil {
		return err
	}
	age, err := q.oldest(ctx, mark.Offset+1)
	if err != nil {
		return err
	}
	late := age > time.Duration(lateShare*float64(o.options.Retention))
	switch was := q.late.Swap(late); {
	case late && o.troubles.late.Note():
		o.options.Log.Error("owner: transfer is behind: the broker soon removes what it has not pushed, and senders are told busy until it goes on; see that a transfer node runs, and what it says",
			"queue", q.name.String(), "age", age.Round(time.Second), "--broker-retention", o.options.Retention)
	case was && !late:
		o.options.Log.Info("owner: transfer is not behind any more, and messages are taken again", "queue", q.name.String())
	}
	return nil
}

// oldest gives the age of the first record from an offset on, 0 where there is none: all was
// taken, or it was removed, and is not to be saved any more.
func (q *queue) oldest(ctx context.Context, from int64) (time.Duration, error) {
	stream := q.owner.options.Stream
	first, end, err := stream.Bounds(ctx, q.name)
	if err != nil || from < first || from >= end {
		return 0, err
	}
	stored, err := stream.Pull(ctx, q.name, from, lateLook)
	for i := range stored {
		var h chain.Head
		if _, err := h.Decode(stored[i].Body); err == nil {
			return q.owner.options.Now().Sub(time.UnixMilli(int64(h.Time))), nil
		}
	}
	return 0, err
}

// lateness is what Health says of a queue.
func (q *queue) lateness() error {
	return fmt.Errorf("%v takes no messages: %w", q.name, errLate)
}
