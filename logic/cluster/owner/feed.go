package owner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/logic/ledger"
)

// feedPause is for how long nobody tries again to feed what was not taken.
const feedPause = 200 * time.Millisecond

// feed takes the records of a term to the history. Those that it makes are added as they
// come; what the feeder does not take then, and what was there before the term, is read
// from the queue beside that.
type feed struct {
	term  *term
	wakes chan struct{}
}

func newFeed(t *term) *feed { return &feed{term: t, wakes: make(chan struct{}, 1)} }

// add adds a record that was just made.
func (f *feed) add(fed *Fed) {
	if _, taken := f.term.queue.owner.options.Feeder.Add(fed); !taken {
		f.term.signal(f.wakes)
	}
}

// run feeds what is behind, until the term ends.
func (f *feed) run() {
	ctx, o := f.term.ending, f.term.queue.owner
	opened := false
	for ctx.Err() == nil {
		err := f.term.queue.survive("feeding a queue", func() error {
			at, err := o.options.Feeder.Open(ctx, f.term.queue.name)
			if err != nil {
				return err
			}
			opened = true
			return f.catchUp(ctx, at)
		})
		if err != nil && ctx.Err() == nil {
			o.warn(&o.troubles.feeding, "a queue is not fed to the history", f.term.queue, err)
			_ = rest(ctx, feedPause)
			continue
		}
		if opened {
			select {
			case <-f.wakes:
			case <-ctx.Done():
			}
		}
	}
}

// errOn says that the feeder is somewhere else than who reads for it.
var errOn = errors.New("the feeder has gone on from elsewhere")

// catchUp feeds the records from the mark up to what the view has: what a view does not
// have may not be durable.
func (f *feed) catchUp(ctx context.Context, at chain.Mark) error {
	o := &f.term.queue.owner.options
	for {
		reader := chain.NewReader(o.Stream, f.term.queue.name, at)
		next := at
		for {
			to := f.term.view.Mark()
			if to.Offset <= reader.Last().Offset {
				return nil
			}
			err := reader.ReadTo(ctx, to.Offset+1, func(c *chain.Record) (err error) {
				next, err = f.again(ctx, c)
				return err
			})
			if errors.Is(err, errOn) && next != at {
				at = next
				break
			}
			if err != nil {
				return err
			}
		}
	}
}

// again feeds a record that was read again from the queue. With errOn the feeder is at the
// mark that it gives.
func (f *feed) again(ctx context.Context, c *chain.Record) (at chain.Mark, err error) {
	var r hop.Record
	if c.Hop(&r) != nil {
		f.term.queue.owner.troubles.damaged.Count()
	}
	fed := &Fed{Queue: c.Queue, Prev: c.Prev, Mark: c.Mark, Version: version(c.Mark), Record: &r}
	if fed.States, err = f.states(ctx, &r); err != nil {
		return at, err
	}
	for {
		at, taken := f.term.queue.owner.options.Feeder.Add(fed)
		switch {
		case taken, at.Offset >= c.Mark.Offset:
			return at, nil
		case at != c.Prev:
			return at, errOn
		}
		if err := rest(ctx, feedPause); err != nil { // there is no room
			return at, err
		}
	}
}

// states gives the conversations that a record touches, as they are at it or later.
func (f *feed) states(ctx context.Context, r *hop.Record) (list []*ledger.Loaded, err error) {
	for _, k := range (ledger.States{}).Lacks(r) {
		list = append(list, &ledger.Loaded{Key: k})
	}
	if len(list) == 0 {
		return nil, nil
	}
	if err := f.term.view.Load(ctx, list); err != nil {
		return nil, err
	}
	for _, l := range list {
		if l.Err != nil {
			return nil, fmt.Errorf("%v: %w", l.Key, l.Err)
		}
	}
	return list, nil
}
