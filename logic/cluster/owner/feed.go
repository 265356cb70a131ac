package owner

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/internal/operate"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// feedPause is for how long nobody tries again to feed what was not taken.
const feedPause = 200 * time.Millisecond

// feed takes the records of a term to the history. Records that the term makes are added as they
// come. Records that the feeder did not take, and those from before the term, are read from the
// queue by run.
type feed struct {
	term   *term
	began  time.Time
	at     atomic.Pointer[chain.Mark] // where the feeder was when it did not take a record
	wakes  chan struct{}
	stands atomic.Pointer[error] // why a human must look before the feed goes on; nil: it goes on
}

func newFeed(t *term) *feed {
	return &feed{term: t, began: t.queue.owner.options.Now(), wakes: make(chan struct{}, 1)}
}

// add adds a record that was just made.
func (f *feed) add(fed *Fed) {
	if at, taken := f.term.queue.owner.options.Feeder.Add(fed); !taken {
		f.at.Store(&at)
		f.term.signal(f.wakes)
	}
}

// run feeds what is behind, until the term ends.
func (f *feed) run() {
	ctx, q := f.term.ending, f.term.queue
	var at chain.Mark
	opened := false
	for ctx.Err() == nil {
		err := q.survive("feeding a queue", func() (err error) {
			if !opened {
				if at, err = q.owner.options.Feeder.Open(ctx, q.name); err != nil {
					return err
				}
				opened = true
			}
			at, err = f.catchUp(ctx, at)
			return err
		})
		if ctx.Err() == nil {
			f.fares(err)
		}
		switch {
		case err == nil || ctx.Err() != nil:
		case lost(err):
			opened = false // giving the loss up moves the history's mark, so ask for it anew
			_ = operate.Pause(ctx, mendPause)
			continue
		default:
			_ = operate.Pause(ctx, feedPause)
			continue
		}
		select {
		case <-f.wakes:
			at = *f.at.Load()
		case <-ctx.Done():
		}
	}
}

// fares notes how a try to catch up ended. If the records do not lead from the fed ones to the end
// of the queue, the broker lost records that it had acknowledged, and this node has built on them,
// because it did not read there. A human must look: the queue goes on, because the view has every
// seq that was given out, but no reader that begins before the gap comes to the new records.
func (f *feed) fares(err error) {
	q := f.term.queue
	o := q.owner
	switch {
	case err == nil:
		f.stands.Store(nil)
	case lost(err):
		err = fmt.Errorf("%v is not fed to ClickHouse any more: run `gannet mend`, which says how to go on: %w", q.name, err)
		f.stands.Store(&err)
		if o.troubles.stands.Note() {
			o.options.Log.Error("owner: a queue cannot be read from where ClickHouse has it, a human has to look", "queue", q.name.String(), "err", err.Error())
		}
	default:
		o.warn(&o.troubles.feeding, "a queue is not fed to the history", q, err)
	}
}

// standing says why the history gets nothing any more, nil: it does.
func (q *queue) standing() error {
	t := q.term.Load()
	if t == nil || t.feed == nil {
		return nil
	}
	if err := t.feed.stands.Load(); err != nil {
		return *err
	}
	return nil
}

// errOn says that the feeder is at another record than the goroutine that reads for it.
var errOn = errors.New("the feeder is elsewhere")

// errNoEnd says that records were given up past the last record that the term knows. So another
// node has the queue by then.
var errNoEnd = errors.New("records were given up, and the queue goes on behind what is known of it")

// catchUp feeds the records from the mark up to what the view has: what a view does not
// have may not be durable. It gives the mark from which to go on.
func (f *feed) catchUp(ctx context.Context, at chain.Mark) (chain.Mark, error) {
	o := &f.term.queue.owner.options
	for {
		to := f.term.view.Mark()
		if to.Offset <= at.Offset {
			return at, nil
		}
		reader := chain.NewReader(o.Stream, f.term.queue.name, at)
		err := reader.ReadTo(ctx, to.Offset+1, func(c *chain.Record) (err error) {
			if c.Kind == chain.Loss {
				at, err = f.passLoss(ctx, at, c)
			} else {
				at, err = f.again(ctx, c, false)
			}
			return err
		})
		switch {
		case errors.Is(err, chain.ErrRetention):
			at, err = f.passGap(ctx, at, to)
		case err == nil && at.Offset < to.Offset && reader.Last() != at:
			err = errNoEnd
		case err == nil && at.Offset < to.Offset:
			err = fmt.Errorf("%w: from the mark %v of ClickHouse the records of %v do not lead to %v", chain.ErrLost, at, f.term.queue.name, to)
		}
		if err != nil && !errors.Is(err, errOn) {
			return at, err
		}
	}
}

// passGap is for a mark behind which retention has removed records: it goes on with the oldest
// record that the queue still has. Before that it feeds all conversations as the view has them.
// Otherwise, if the view was lost too, seqs up to a head that the history does not know would be
// given out again.
func (f *feed) passGap(ctx context.Context, at, to chain.Mark) (chain.Mark, error) {
	q := f.term.queue
	oldest, err := chain.Oldest(ctx, q.owner.options.Stream, q.name, to)
	if err != nil {
		return at, err
	}
	n, on, err := f.all(ctx, at, oldest.Mark, false)
	if err != nil {
		return on, err
	}
	q.owner.options.Log.Warn("owner: records are gone that the history lacks; it goes on with the oldest, and has all conversations as they are",
		"queue", q.name.String(), "behind", at.String(), "oldest", oldest.Mark.String(), "conversations", n)
	return f.again(ctx, &oldest, true)
}

// all feeds all conversations as the view has them, in place of the records that are missing
// between the mark at and the mark before. lost says that those records were given up: then their
// messages are lost for good, and so is every message up to a head that no later record has.
func (f *feed) all(ctx context.Context, at, before chain.Mark, lost bool) (n int, on chain.Mark, err error) {
	on = at
	err = f.term.view.Each(ctx, func(list []*ledger.Loaded) (err error) {
		n += len(list)
		f.term.damaged.bar(list)
		for _, l := range list {
			if err := f.term.damaged.without(ctx, l); err != nil {
				return err
			}
			if l.Err != nil {
				l.Err, l.Members, l.Devices = nil, nil, nil // if its head is known, the history must get it
			}
		}
		fed := &Fed{Queue: f.term.queue.name, Prev: at, Mark: at, Version: version(before), States: list}
		if lost {
			fed.Lost = f.term.view.Newest()
		}
		on, err = f.give(ctx, fed)
		return err
	})
	return n, on, err
}

// passLoss passes records that were given up. There is a Loss at each lost offset; only the last
// one is fed.
func (f *feed) passLoss(ctx context.Context, at chain.Mark, c *chain.Record) (chain.Mark, error) {
	if c.Mark.Offset < c.Through {
		return at, nil
	}
	q := f.term.queue
	n, on, err := f.all(ctx, at, c.Mark, true)
	if err != nil {
		return on, err
	}
	q.owner.options.Log.Warn("owner: records were given up that the broker lost; the history goes on behind them, and has all conversations as they are",
		"queue", q.name.String(), "behind", at.String(), "through", c.Mark.String(), "conversations", n)
	return f.give(ctx, &Fed{Queue: c.Queue, Prev: at, Mark: c.Mark, Version: version(c.Mark), Record: &hop.Record{}})
}

// give adds fed to the feeder, and waits as long as there is no room for it. It returns errOn if
// the feeder is at another record.
func (f *feed) give(ctx context.Context, fed *Fed) (at chain.Mark, err error) {
	for {
		at, taken := f.term.queue.owner.options.Feeder.Add(fed)
		switch {
		case taken:
			return at, nil
		case fed.Oldest && at.Offset >= fed.Mark.Offset, !fed.Oldest && at != fed.Prev:
			return at, errOn
		}
		if err := operate.Pause(ctx, feedPause); err != nil { // there is no room
			return at, err
		}
	}
}

// again feeds a record that was read again from the queue, and returns the mark at which the feeder
// is then. With errOn this is not the mark of the record.
func (f *feed) again(ctx context.Context, c *chain.Record, oldest bool) (at chain.Mark, err error) {
	var r hop.Record
	if c.Hop(&r) != nil {
		f.term.queue.owner.troubles.damaged.Count()
	}
	fed := &Fed{Queue: c.Queue, Prev: c.Prev, Mark: c.Mark, Version: version(c.Mark), Record: &r, Oldest: oldest}
	if fed.States, err = f.states(ctx, &r); err != nil {
		return c.Prev, err
	}
	return f.give(ctx, fed)
}

// states gives the conversations that a record touches, as they are at it or later.
func (f *feed) states(ctx context.Context, r *hop.Record) (list []*ledger.Loaded, err error) {
	for _, k := range (ledger.States{}).Lacks(r) {
		list = append(list, &ledger.Loaded{Key: k})
	}
	if len(list) == 0 {
		return nil, nil
	}
	if err := f.term.damaged.load(ctx, list); err != nil {
		return nil, err
	}
	for i, l := range list {
		if err := f.term.damaged.without(ctx, l); err != nil {
			return nil, err
		}
		if l.Err == nil {
			continue
		}
		if list[i], err = progressIn(r, l.Key); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// progressIn gives the progress of a conversation as far as a single record tells it. The history
// needs it, so that whoever makes the conversation anew does not give its seqs out again.
func progressIn(r *hop.Record, key protocol.Conversation) (*ledger.Loaded, error) {
	one := hop.Record{Time: r.Time, Blob: r.Blob}
	for i := range r.Entries {
		if r.Entries[i].Conversation == key {
			one.Entries = append(one.Entries, r.Entries[i])
		}
	}
	l := &ledger.Loaded{Key: key}
	err := (ledger.States{key: l}).Replay(&one, 1, &ledger.Change{})
	l.Members, l.Devices = nil, nil
	return l, err
}
