package owner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/internal/operate"
	"gannet/logic"
	"gannet/logic/cluster/view"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// errDamaged says that a record counts and has what no owner writes.
var errDamaged = errors.New("owner: a record that counts cannot be taken into the view")

// errBehindLoss says that a view lacks records that an operator gave up, so no replay can bring it
// forward. It must be emptied; then it is filled again from the history, which has what the views
// had.
var errBehindLoss = errors.New("owner: the view of a queue is older than records that were given up")

// redisPause is how long the owner waits before it repeats a script that had no answer.
const redisPause = 20 * time.Millisecond

// stallTime is how long a reader waits for the next record that the broker acknowledged. A broker
// that lost the record never gives it.
const stallTime = 5 * time.Second

// errStalled says that the broker does not give a record.
var errStalled = errors.New("owner: the broker has acknowledged what it does not give")

// stalls gives a context that ends with errStalled if came is not called for stallTime. The caller
// holds the turn of the queue, so everybody else waits meanwhile.
func stalls(ctx context.Context) (within context.Context, came, cancel func()) {
	within, end := context.WithCancelCause(ctx)
	timer := time.AfterFunc(stallTime, func() { end(errStalled) })
	return within, func() { timer.Reset(stallTime) }, func() { timer.Stop(); end(nil) }
}

// stalled adds to an error what is missing, if the error came because such a context ended.
func stalled(within context.Context, err error, what string, args ...any) error {
	if err == nil || !errors.Is(context.Cause(within), errStalled) {
		return err
	}
	return fmt.Errorf("%w: "+what, append([]any{errStalled}, args...)...)
}

// mostStates is how many conversations a replay keeps in memory.
const mostStates = 10_000

// replayer takes records that count into a view which lacks them. What a conversation was
// before comes from the view itself, which has it as of the record before.
type replayer struct {
	view       *view.Writer
	owner      *Owner
	incomplete bool // conversations may not be back
	states     ledger.States
	change     ledger.Change
	record     hop.Record
	skipped    map[protocol.Conversation]bool // not back, or damaged, and in a record that was replayed
}

func newReplayer(w *view.Writer, o *Owner, incomplete bool) *replayer {
	return &replayer{view: w, owner: o, incomplete: incomplete, states: ledger.States{}, skipped: map[protocol.Conversation]bool{}}
}

// take takes the next record in. A record without entries only moves the mark, so it is left to the
// next record.
func (r *replayer) take(ctx context.Context, c *chain.Record) error {
	if c.Kind == chain.Loss {
		return fmt.Errorf("%w: %v, at offset %d: run `gannet mend`, which empties what Redis has of the queue, and it is filled again from ClickHouse and the queue", errBehindLoss, c.Queue, c.Mark.Offset)
	}
	if c.Kind != chain.Entries {
		return nil
	}
	if c.Hop(&r.record) != nil {
		r.owner.troubles.damaged.Count()
		return fmt.Errorf("%w: offset %d", errDamaged, c.Mark.Offset)
	}
	if err := r.load(ctx); err != nil {
		return err
	}
	if err := r.states.Replay(&r.record, r.view.Stamp()+1, &r.change); err != nil {
		r.owner.troubles.damaged.Count()
		return fmt.Errorf("%w: offset %d: %w", errDamaged, c.Mark.Offset, err)
	}
	if err := forward(ctx, r.view, c.Mark, &r.change); err != nil {
		return err
	}
	r.owner.troubles.replayed.Add(1)
	return nil
}

// forward brings a view forward by a record and tries for a while.
func forward(ctx context.Context, w *view.Writer, mark chain.Mark, change *ledger.Change) error {
	err := w.Forward(ctx, mark, change)
	for began := operate.Elapsed(); errors.Is(err, logic.ErrUnavailable) && operate.Elapsed()-began < patience && operate.Pause(ctx, redisPause) == nil; {
		err = w.Again(ctx)
	}
	if conflict := (*view.Conflict)(nil); errors.As(err, &conflict) {
		return fmt.Errorf("%w: %w", chain.ErrMoved, err)
	}
	return waits(err)
}

// load reads the conversations of the record that are not in memory. It leaves out damaged ones and
// those that an incomplete view does not have: they are brought back later, whole. It also leaves
// out forsaken ones, which stay as they are.
func (r *replayer) load(ctx context.Context) error {
	if len(r.states) > mostStates {
		clear(r.states)
	}
	var list []*ledger.Loaded
	for _, k := range r.states.Lacks(&r.record) {
		list = append(list, &ledger.Loaded{Key: k})
	}
	if len(list) > 0 {
		if err := r.view.Load(ctx, list); err != nil {
			return waits(err)
		}
	}
	left := false
	var damaged []protocol.Conversation // or not back
	for _, l := range list {
		switch {
		case r.skipped[l.Key], errors.Is(l.Err, view.ErrForsaken):
			left = true
		case l.Err == nil:
			r.states[l.Key] = l
		case view.Damaged(l.Err):
			damaged = append(damaged, l.Key)
		case r.incomplete && errors.Is(l.Err, view.ErrClosed):
			damaged = append(damaged, l.Key)
		default:
			return waits(l.Err)
		}
	}
	if len(damaged) > 0 {
		// Redis has to know before the view comes past the record: this process may end here.
		err := r.view.Skip(ctx, damaged)
		if conflict := (*view.Conflict)(nil); errors.As(err, &conflict) {
			return fmt.Errorf("%w: %w", chain.ErrMoved, err)
		}
		if err != nil {
			return waits(err)
		}
		for _, k := range damaged {
			r.skipped[k], left = true, true
		}
	}
	if left {
		kept := r.record.Entries[:0]
		for _, e := range r.record.Entries {
			if r.states[e.Conversation] != nil {
				kept = append(kept, e)
			}
		}
		r.record.Entries = kept
	}
	return nil
}

// repair brings a view of which Redis lost something forward to the last record that counts. has is
// the mark that Redis has.
func (t *term) repair(ctx context.Context, has chain.Mark) error {
	o := t.queue.owner
	last := t.chain.Last()
	if has.Offset > last.Offset || has.Offset == last.Offset && has != last {
		return fmt.Errorf("%w: its view is at %v, ours is at %v", chain.ErrMoved, has, last)
	}
	if o.troubles.repairs.Note() {
		o.options.Log.Warn("owner: Redis lost something of a view, which is brought back", "queue", t.queue.name.String(), "has", has.String(), "last", last.String())
	}
	// Use another writer: as long as the view is behind, loads by t.view fail, so nobody believes
	// it.
	w, err := o.options.View.Writer(t.queue.name)
	if err != nil {
		return err
	}
	state, err := w.State(ctx)
	if err != nil {
		return waits(err)
	}
	if state.Mark != has {
		return waits(fmt.Errorf("the view went from %v to %v meanwhile", has, state.Mark))
	}
	w.Believe(has, max(state.Stamp, t.view.Stamp()))
	if has == chain.Beginning {
		if err := t.bringAll(ctx); err == nil || !errors.Is(err, errReplay) {
			return err
		}
	}
	if o.ending.Err() == nil {
		// The queue cannot go on before, so the repair takes as long as records come. If the Owner
		// closes meanwhile, the repair ends. If it is closing already, ctx says how long is left.
		// The next owner does the rest.
		var end context.CancelFunc
		ctx, end = context.WithCancel(context.WithoutCancel(ctx))
		defer end()
		defer context.AfterFunc(o.ending, end)()
	}
	within, came, cancel := stalls(ctx)
	defer cancel()
	r := newReplayer(w, o, state.Incomplete)
	reader := chain.NewReader(o.options.Stream, t.queue.name, has)
	err = reader.ReadTo(within, last.Offset+1, func(c *chain.Record) error {
		came()
		return r.take(within, c)
	})
	if err != nil {
		return behind(stalled(within, err, "%v from offset %d to the mark %v", t.queue.name, reader.Next(), last), false)
	}
	if reader.Last() != last {
		return fmt.Errorf("%w: from the mark %v of the view the records lead to %v and not to %v", chain.ErrLost, has, reader.Last(), last)
	}
	if w.Mark() != last {
		if err := forward(ctx, w, last, nil); err != nil {
			return err
		}
	}
	t.view.Believe(last, w.Stamp())
	if state.Incomplete {
		t.startRebuild(last)
	} else {
		t.damaged.skipped(r.skipped)
	}
	return waits(t.view.Confirm(ctx))
}
