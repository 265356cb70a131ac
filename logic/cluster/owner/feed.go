package owner

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// feedPause is for how long nobody tries again to feed what was not taken.
const feedPause = 200 * time.Millisecond

// feed takes the records of a term to the history. Those that it makes are added as they
// come; what the feeder does not take then, and what was there before the term, is read
// from the queue beside that.
type feed struct {
	term  *term
	at    atomic.Pointer[chain.Mark] // where the feeder was when it did not take a record
	wakes chan struct{}
}

func newFeed(t *term) *feed { return &feed{term: t, wakes: make(chan struct{}, 1)} }

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
		if err != nil && ctx.Err() == nil {
			q.owner.warn(&q.owner.troubles.feeding, "a queue is not fed to the history", q, err)
			_ = rest(ctx, feedPause)
			continue
		}
		select {
		case <-f.wakes:
			at = *f.at.Load()
		case <-ctx.Done():
		}
	}
}

// errOn says that the feeder is somewhere else than who reads for it.
var errOn = errors.New("the feeder is elsewhere")

// errNoEnd says that what was given up goes on behind what a term knows of its queue: somebody
// else has it by then.
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
		if errors.Is(err, chain.ErrRetention) {
			at, err = f.passGap(ctx, at, to)
		}
		if err == nil && at.Offset < to.Offset && reader.Last() != at {
			err = errNoEnd
		}
		if err != nil && !errors.Is(err, errOn) {
			return at, err
		}
	}
}

// passGap goes on with the oldest record that the queue still has, where the one behind the
// mark is gone. First all conversations are fed as the view has them: a head that the
// history did not know would be given out again if the view was lost too.
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

// all feeds all conversations as the view has them, in place of what is missing between the
// mark and a record. lost says that it is lost for good, and so are messages that are in no
// record from there on.
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
				l.Err, l.Members, l.Devices = nil, nil, nil // its head may be known, and must be
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

// passLoss goes on behind records that were given up. There is one at each offset of what is
// lost; the last of them is fed.
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

// give gives something to the feeder, which waits until there is room for it. With errOn
// the feeder is elsewhere.
func (f *feed) give(ctx context.Context, fed *Fed) (at chain.Mark, err error) {
	for {
		at, taken := f.term.queue.owner.options.Feeder.Add(fed)
		switch {
		case taken:
			return at, nil
		case fed.Oldest && at.Offset >= fed.Mark.Offset, !fed.Oldest && at != fed.Prev:
			return at, errOn
		}
		if err := rest(ctx, feedPause); err != nil { // there is no room
			return at, err
		}
	}
}

// again feeds a record that was read again from the queue, and gives where the feeder is
// then: with errOn it is elsewhere than behind the record.
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

// progressIn gives what a record alone says of a conversation: how far it had come. Somebody who
// makes it anew must not give seqs out again.
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
