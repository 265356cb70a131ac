package owner

import (
	"context"
	"errors"
	"fmt"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/internal/operate"
	"gannet/logic/cluster/view"
	"gannet/logic/ledger"
)

// pending is a record on its way. Until it is settled or abandoned, the ledger keeps its changes as
// under way.
type pending struct {
	change     *ledger.Change
	body       []byte
	prev, mark chain.Mark
	counts     bool // mark is its own
	again      bool // it was found void and was appended once more
}

// settle gets the queue to where a record can begin: what became of the last one is known,
// and the view has it.
func (t *term) settle(ctx context.Context) error {
	if !t.unsettled.Load() {
		return nil
	}
	return t.finish(ctx)
}

// finish completes the record that was begun, if there is one, and brings the view to the last
// record that counts.
func (t *term) finish(ctx context.Context) error {
	t.unsettled.Store(true)
	ctx, cancel := context.WithTimeout(ctx, 3*patience)
	defer cancel()
	p := t.pending
	if t.doubt {
		if err := t.resolve(ctx); err != nil {
			return err
		}
	}
	if p != nil && !p.counts {
		if err := t.append(ctx, p); err != nil {
			return err
		}
	}
	if p != nil {
		if err := t.forward(ctx, p.mark, p.change); err != nil {
			return err
		}
		t.shown(p)
	}
	if last, before := t.chain.Last(), t.view.Mark(); before != last {
		if err := t.forward(ctx, last, nil); err != nil {
			return err
		}
		if t.feed != nil { // or retention would overtake the history's mark of an idle queue
			t.feed.add(&Fed{Queue: t.queue.name, Prev: before, Mark: last, Version: version(last), Record: &hop.Record{}})
		}
	}
	t.owns()
	t.unsettled.Store(false)
	return nil
}

// append puts the record into the queue. Where it cannot be there, the batch never
// happened.
func (t *term) append(ctx context.Context, p *pending) error {
	for {
		mark, err := t.chain.Append(ctx, p.body)
		switch {
		case err == nil:
			p.mark, p.counts = mark, true
			return nil
		case errors.Is(err, chain.ErrMoved):
			return err
		case errors.Is(err, chain.ErrRefused), errors.Is(err, chain.ErrTooLarge):
			t.abandon()
			t.unsettled.Store(false)
			return err
		}
		t.doubt = true
		if t.queue.owner.troubles.doubts.Note() {
			t.queue.owner.options.Log.Warn("owner: nobody knows whether a record counts, the queue is taken over anew", "queue", t.queue.name.String(), "err", err.Error())
		}
		if err := t.resolve(ctx); err != nil {
			return err
		}
		if p.counts {
			return nil
		}
		if p.again {
			t.abandon()
			t.unsettled.Store(false)
			return fmt.Errorf("the record is void: %w", err)
		}
		p.again = true
	}
}

// abandon undoes a record that is not in the queue and never will be.
func (t *term) abandon() {
	t.ledger.Abandon()
	t.pending = nil
}

// resolve takes the queue over anew, after which it is known whether the record that was in
// doubt counts.
func (t *term) resolve(ctx context.Context) error {
	if t.foreign {
		return chain.ErrMoved
	}
	doubt, err := t.chain.TakeOver(ctx)
	if t.foreign { // what became of the last record is for others to tell
		return chain.ErrMoved
	}
	if err != nil {
		return err
	}
	t.doubt = false
	if p := t.pending; p != nil && doubt.Counts {
		p.mark, p.counts = doubt.Mark, true
	} else if p != nil {
		t.queue.owner.troubles.voids.Count()
	}
	return nil
}

// forward takes a record into the view, and tries for a while where Redis does not answer.
func (t *term) forward(ctx context.Context, mark chain.Mark, change *ledger.Change) error {
	for began := operate.Elapsed(); t.view.Mark().Offset < mark.Offset; {
		var err error
		if t.onWay {
			err = t.view.Again(ctx)
		} else {
			t.onWay = true
			err = t.view.Forward(ctx, mark, change)
		}
		var conflict *view.Conflict
		switch {
		case err == nil:
			t.onWay = false
		case errors.As(err, &conflict):
			t.onWay = false
			if err := t.repair(ctx, conflict.Has); err != nil {
				return err
			}
		case errors.Is(err, view.ErrLarge):
			return fmt.Errorf("%w: %w", errDamaged, err)
		case ctx.Err() != nil || operate.Elapsed()-began > patience:
			return waits(err)
		default:
			_ = operate.Pause(ctx, redisPause)
		}
	}
	return nil
}

// shown ends a record that is in the queue and in the view: readers see it.
func (t *term) shown(p *pending) {
	t.pending = nil
	t.tail.add(p.change)
	t.ledger.Settle()
	t.queue.owner.troubles.records.Add(1)
	t.queue.able()
	r := &t.made
	r.Mark = uint64(p.mark.Offset) + 1
	if t.feed != nil {
		t.feed.add(&Fed{Queue: t.queue.name, Prev: p.prev, Mark: p.mark, Version: version(p.mark), Record: r, Change: p.change})
	}
	r.Blob = nil
}

// version rises with the records of a queue.
func version(m chain.Mark) uint64 { return uint64(m.Offset) + 1 }

// check asks Redis for the state of the view. It repairs a view that is not as it was written, and
// confirms it to readers.
func (t *term) check(ctx context.Context) error {
	s, err := t.view.State(ctx)
	if err != nil {
		return waits(err)
	}
	if s.Mark != t.chain.Last() {
		if err := t.repair(ctx, s.Mark); err != nil {
			return err
		}
		if s.Mark != t.chain.Last() {
			return nil // the next check confirms
		}
	}
	if s.Suspect != nil {
		// The load notes a conversation that cannot be read. After an error the next look tries
		// again.
		if t.damaged.load(ctx, []*ledger.Loaded{{Key: *s.Suspect}}) == nil {
			_ = t.view.Heed(ctx, *s.Suspect)
		}
	}
	t.owns()
	if !s.Confirmed {
		if err := t.view.Confirm(ctx); err != nil {
			return waits(err)
		}
	}
	return nil
}

// refresh appends an empty record if the last one grows old.
func (t *term) refresh(ctx context.Context) error {
	err := t.chain.Refresh(ctx)
	switch {
	case err == nil, errors.Is(err, chain.ErrRefused):
	case errors.Is(err, chain.ErrMoved):
		return err
	default:
		t.doubt = true
	}
	if t.view.Mark() == t.chain.Last() && !t.doubt {
		return nil
	}
	return t.finish(ctx)
}
