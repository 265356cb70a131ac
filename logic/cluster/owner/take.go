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
	"gannet/logic/cluster/view"
	"gannet/logic/ledger"
)

// term is what is known of a queue while it is this node's. Whoever loses the queue throws
// it away.
type term struct {
	queue  *queue
	chain  *chain.Writer
	view   *view.Writer
	ledger *ledger.Ledger
	tail   *tail
	feed   *feed // nil: nobody takes records to the history

	damaged *damaged
	unasked *chain.Mark // the take-over began here, and the history did not say what it has; nil: it did

	// What follows belongs to whoever has the turn of the queue.
	pending *pending
	made    hop.Record
	replay  *replayer // while the queue is taken over: what counts goes into the view
	foreign bool      // a record of somebody else counts
	losses  bool      // the take-over read records that were given up
	doubt   bool      // nobody knows whether the last record counts
	onWay   bool      // a script of the view has no answer
	rebuild *rebuild  // nil: the view is whole

	unsettled atomic.Bool  // something is to be done before the next record
	seen      atomic.Int64 // operate.Elapsed at which the queue was known to be ours

	ending context.Context // ends with the term
	cancel context.CancelFunc
	wakes  chan struct{} // there is something for Recall
}

// takePatience bounds one try to take a queue over. If there is very much to replay, the next try
// goes on where this one ended; so does another node if this one closes.
const takePatience = time.Minute

// take takes the queue over. It begins with what the view knows: its mark is that of a
// record that counts and is durable.
func (q *queue) take(ctx context.Context) (*term, error) {
	q.set(Taking)
	ctx, cancel := context.WithTimeout(ctx, takePatience)
	defer cancel()
	t, err := q.begin()
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(q.owner.ending, func() { cancel(); t.cancel() })()
	if err := t.takeOver(ctx); err != nil {
		t.end()
		return nil, err
	}
	q.owner.troubles.taken.Add(1)
	q.lacks, q.past, q.proof = chain.Beginning, -1, nil
	t.owns()
	q.term.Store(t)
	t.signal(q.owner.takes)
	t.queue.owner.helped.Go(t.recall)
	t.queue.owner.helped.Go(t.damaged.run)
	if t.feed != nil {
		t.queue.owner.helped.Go(t.feed.run)
	}
	if t.rebuild != nil {
		t.queue.owner.helped.Go(t.rebuild.run)
	}
	if t.unasked != nil {
		t.queue.owner.helped.Go(t.askKept)
	}
	q.owner.options.Log.Info("owner: a queue was taken over", "queue", q.name.String(), "last", t.chain.Last().String(), "whole", t.rebuild == nil)
	return t, nil
}

// begin makes a term.
func (q *queue) begin() (*term, error) {
	o := &q.owner.options
	w, err := o.View.Writer(q.name)
	if err != nil {
		return nil, err
	}
	t := &term{queue: q, view: w, tail: newTail(o.Tail / o.Queues), wakes: make(chan struct{}, 1)}
	t.ending, t.cancel = context.WithCancel(context.Background())
	t.damaged = newDamaged(t)
	t.ledger = ledger.New(ledger.Options{
		Queue: q.name.Number, Queues: o.Queues,
		Conversations: o.Conversations / o.Queues, ClientIDs: o.ClientIDs / o.Queues, Checkpoint: 1,
		Devices: o.Devices, Admit: o.Admit, Known: t.tail.known, Counts: t.tail.counts,
		Waiting: func() { t.signal(t.wakes) },
	}, source{t})
	if o.Feeder != nil {
		t.feed = newFeed(t)
	}
	return t, nil
}

func (t *term) signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// takeOver makes the queue ours, and brings its view up to what counts.
func (t *term) takeOver(ctx context.Context) error {
	q := t.queue
	o := &q.owner.options
	state, err := t.view.State(ctx)
	if err != nil {
		return waits(err)
	}
	start, empty, err := q.start(ctx, state)
	if err != nil {
		return err
	}
	for _, mark := range []chain.Mark{start, q.lacking(start)} {
		if err := q.finds(ctx, mark); err != nil {
			if lost(err) {
				q.lack(mark)
			}
			return err
		}
	}
	if err := t.findsKept(ctx, start); err != nil {
		return err
	}
	t.chain = chain.NewWriter(chain.Options{
		Stream: o.Stream, Queue: q.name, Now: o.Now, Most: mostRecord, Take: t.takes, Registry: q.claim,
	}, start)
	t.view.Believe(state.Mark, state.Stamp)
	if !empty {
		t.replay = newReplayer(t.view, q.owner, state.Incomplete)
	}
	_, err = t.chain.TakeOver(ctx)
	replay, losses := t.replay, t.losses
	t.replay, t.foreign, t.losses = nil, false, false
	if err != nil {
		return behind(err, empty)
	}
	last := t.chain.Last()
	if empty {
		t.view.Believe(last, state.Stamp)
		if err := t.view.Adopt(ctx, state.Mark, true); err != nil {
			return t.conflict(err)
		}
		t.rebuild = newRebuild(t, last, nil)
		t.rebuild.losses = losses
	} else {
		if err := t.view.Forward(ctx, last, nil); err != nil {
			return t.conflict(err)
		}
		if state.Incomplete {
			t.rebuild = newRebuild(t, last, nil) // what was left out is not back, and is filled
		} else {
			t.damaged.skipped(replay.skipped)
		}
	}
	if err := t.view.Confirm(ctx); err != nil {
		return t.conflict(err)
	}
	return t.readBack(ctx, last)
}

// finds checks that the broker has the record of the mark. It waits for stallTime at most, while
// the chain would wait for the whole try. A record that retention has removed is left to the chain.
func (q *queue) finds(ctx context.Context, mark chain.Mark) error {
	within, _, cancel := stalls(ctx)
	defer cancel()
	err := chain.Back(within, q.owner.options.Stream, q.name, mark, func(*chain.Record) bool { return false })
	return stalled(within, err, "%v at the mark %v", q.name, mark)
}

// behind adds to an ErrRetention what is lost by it and how to mend that.
func behind(err error, empty bool) error {
	switch {
	case !errors.Is(err, chain.ErrRetention):
		return err
	case empty:
		return fmt.Errorf("%w; Redis has nothing of the queue, ClickHouse has it up to that mark, and what came behind it is lost to both: give Redis a backup that is newer", err)
	}
	return fmt.Errorf("%w; Redis has the queue up to that mark, and the records behind it that would bring it forward are gone: run `gannet mend`, which empties what Redis has of the queue, and it is filled again from ClickHouse and the queue", err)
}

// start gives the mark that a take-over begins with. empty says that the view has nothing of what
// is in the queue; then it is brought back while new records are written.
func (q *queue) start(ctx context.Context, state view.State) (mark chain.Mark, empty bool, err error) {
	o := &q.owner.options
	if state.Mark != chain.Beginning {
		return state.Mark, false, nil
	}
	first, end, err := o.Stream.Bounds(ctx, q.name)
	if err != nil {
		return mark, false, err
	}
	switch {
	case first == 0 && (end == 0 || o.History == nil):
		return chain.Beginning, false, nil
	case first == 0 && end <= shortQueue:
		return chain.Beginning, true, nil
	}
	if o.History == nil {
		return mark, false, fmt.Errorf("%w: the view of %v is empty, and nothing keeps what the queue does not have any more", chain.ErrRetention, q.name)
	}
	mark, err = o.History.Mark(ctx, q.name)
	return mark, true, err
}

// takes is chain.Options.Take.
func (t *term) takes(r *chain.Record) error {
	switch {
	case t.replay != nil:
		return t.replay.take(t.ending, r)
	case r.Kind == chain.Loss:
		t.foreign, t.losses = true, true
	case !r.Sent && r.Kind == chain.Entries: // an empty one changes nothing, and may be of an earlier try of ours
		t.foreign = true
	}
	return nil
}

// conflict translates an error of the view during a take-over. A view.Conflict becomes
// chain.ErrMoved, because another node may be bringing the view forward.
func (t *term) conflict(err error) error {
	var c *view.Conflict
	if errors.As(err, &c) {
		return fmt.Errorf("%w: %w", chain.ErrMoved, err)
	}
	return waits(err)
}

// waits makes err an errWaits.
func waits(err error) error {
	if err == nil || errors.Is(err, errWaits) {
		return err
	}
	return fmt.Errorf("%w: %w", errWaits, err)
}

// owns notes that the queue is known to be ours at this moment.
func (t *term) owns() { t.seen.Store(int64(operate.Elapsed())) }

// release lets the queue go: what is on its way is finished, acks that wait are written,
// then all is forgotten. An error says that acks may be lost.
func (q *queue) release(ctx context.Context) error {
	t := q.term.Load()
	if t == nil {
		return nil
	}
	defer q.forget()
	q.owner.troubles.released.Add(1)
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	for range drainRecords {
		if err := t.settle(ctx); err != nil {
			return err
		}
		if !t.ledger.Due(q.owner.now(), true) {
			return nil
		}
		if err := t.record(ctx, nil, true); err != nil {
			return err
		}
		q.owner.troubles.acks.Add(1)
	}
	return unavailable(errAcksWait)
}

// end ends a term. It does not wait for the goroutines of the term, because one of them may wait
// for the turn in which end is called.
func (t *term) end() {
	t.cancel()
	if t.feed != nil {
		t.queue.owner.options.Feeder.Leave(t.queue.name)
	}
}

// recall reads windows back for the ledger, until the term ends.
func (t *term) recall() {
	for {
		select {
		case <-t.ending.Done():
			return
		case <-t.wakes:
		}
		_ = t.queue.survive("reading client ids back", func() error {
			for t.ledger.Recall(t.ending) {
				// The next record takes in what was found.
				err := t.queue.turn(t.ending, func(ctx context.Context) error {
					if t.queue.term.Load() != t {
						return ErrElsewhere
					}
					t, err := t.queue.ready(ctx)
					if err != nil {
						return err
					}
					return t.queue.tried(t, t.record(ctx, nil, false))
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// source is the ledger.Source of a term.
type source struct{ *term }

// Load implements ledger.Source.
func (s source) Load(ctx context.Context, list []*ledger.Loaded) error {
	return s.damaged.load(ctx, list)
}

// Walk implements ledger.Source.
func (s source) Walk(ctx context.Context, walks []*ledger.Walk) error {
	h := s.queue.owner.options.History
	if h == nil {
		return unavailable(errors.New("nothing keeps what is older"))
	}
	return h.Walk(ctx, walks)
}
