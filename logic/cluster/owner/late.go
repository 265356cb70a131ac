package owner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/logic"
)

// lateShare is the share of the broker's retention after which a record that transfer has not taken
// makes the queue late. The rest of the time is for getting transfer to run.
const lateShare = 0.9

// errLate says that senders must wait for transfer, which reads the queue.
var errLate = errors.New("owner: the broker soon removes what was not pushed yet")

// lookAtReader checks whether transfer, which reads the queue, is so far behind that the broker
// will soon remove records that were not pushed. Then senders are told busy, so that no receiver
// misses the push of a new message. Acks of devices and read cursors are still taken, because
// nobody gets a push for them. Until then a transfer that is dead or behind stops nobody.
func (q *queue) lookAtReader() error {
	o := q.owner
	ctx, cancel := context.WithTimeout(o.ending, retentionTime)
	defer cancel()
	mark, err := o.options.Reader(ctx, q.name)
	if err != nil {
		return err
	}
	unread, err := chain.UnreadFrom(ctx, o.options.Stream, q.name, mark.Offset+1)
	if err != nil {
		return err
	}
	var age time.Duration
	if !unread.Gone && !unread.Since.IsZero() { // what was removed is not to be saved any more
		age = o.options.Now().Sub(unread.Since)
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

// withoutMessages takes the messages out of batches and answers them busy. It returns batches of
// the other entries. answer copies their results back. If the queue fails such a batch, the
// messages of the original batch fail as well.
func withoutMessages(batches []*logic.Batch) (rest []*logic.Batch, answer func()) {
	type piece struct {
		of, rest *logic.Batch
		at       []int // the index in of.Entries of each entry of rest
	}
	var cut []piece
	for _, b := range batches {
		p := piece{of: b, rest: &logic.Batch{Queue: b.Queue}}
		for i := range b.Entries {
			if b.Entries[i].Op == hop.OpMessage {
				refuse(b.Entries[i : i+1])
				continue
			}
			p.at = append(p.at, i)
			p.rest.Entries = append(p.rest.Entries, b.Entries[i])
		}
		if len(p.at) > 0 {
			rest = append(rest, p.rest)
			cut = append(cut, p)
		}
	}
	return rest, func() {
		for _, p := range cut {
			if p.rest.Err != nil {
				failBatch(p.of, p.rest.Err)
				continue
			}
			for i, at := range p.at {
				p.of.Entries[at] = p.rest.Entries[i]
			}
		}
	}
}

// lateness is what Health says of a queue.
func (q *queue) lateness() error {
	return fmt.Errorf("%v takes no messages: %w", q.name, errLate)
}
