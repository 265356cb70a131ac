package owner

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"gannet/internal/chain"
	"gannet/internal/operate"
	"gannet/internal/registry"
	"gannet/logic/ledger"
)

// State is how a queue is.
type State uint8

// The states.
const (
	Unowned State = iota
	Taking
	Owned
	Waiting
	Doubtful
	Stopped
)

func (s State) String() string {
	return [...]string{"unowned", "taking", "owned", "waiting", "doubtful", "stopped"}[s]
}

const (
	// patience is how long a turn goes on trying while the broker or Redis does not answer. Then
	// those who wait are told.
	patience = time.Second

	// firstPause and lastPause bound the pause after a failure, in which nobody tries again. Each
	// failure doubles it.
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second

	// mendPause is after how long the owner checks again whether a queue was mended that is stopped
	// because records are gone.
	mendPause = 5 * time.Second
)

// queue is one queue. What has no other guard belongs to whoever has its turn.
type queue struct {
	owner *Owner
	name  chain.Queue
	line  ledger.Line   // of the batches that wait
	turns chan struct{} // has a token while somebody has the turn: one of the line, or another

	state atomic.Uint32
	term  atomic.Pointer[term] // nil: not ours

	stopped error         // a human has to look; for good, but for what mended sees
	lacks   chain.Mark    // of the newest record that is known to be lost; Beginning: none
	past    int64         // offset up to which the queue was written here by then
	proof   *proof        // the check that the lost records are back; nil: not begun
	failed  error         // of the last try
	pause   time.Duration // after it
	again   atomic.Int64  // operate.Elapsed before which nobody tries again

	version atomic.Uint64 // of the newest view of the registry under which the queue was ours

	late   atomic.Bool            // transfer is behind, and senders are told busy
	unable atomic.Pointer[unable] // nil: records can be written, or it is not ours
}

func (q *queue) set(s State) { q.state.Store(uint32(s)) }

// turn calls do in the turn of the queue. If ctx ends first, do is not called; its end does not end
// do.
func (q *queue) turn(ctx context.Context, do func(ctx context.Context) error) error {
	select {
	case q.turns <- struct{}{}:
	case <-ctx.Done():
		return unavailable(ctx.Err())
	}
	defer func() { <-q.turns }()
	return do(context.WithoutCancel(ctx))
}

// ours says whether the queue is this node's under the newest view of the registry.
func (q *queue) ours() bool {
	v := q.owner.options.Registry.View()
	n, ok := registry.Owner(registry.Logic, q.registered(), v)
	if !ok || n.ID != q.owner.options.Node {
		return false
	}
	operate.Raise(&q.version, v.Version)
	return true
}

// claim gives the version of the newest view of the registry under which the queue is, or was, this
// node's. It never falls, whatever the registry does. A take-over that is under way while the queue
// goes to another node must not claim it under the view that gave it away: under an equal version
// the chain would let it take the queue from its rightful owner.
func (q *queue) claim() uint64 {
	q.ours()
	return q.version.Load()
}

// leaving says whether the queue goes to another node soon: this one drains, or one joins
// that has it once it serves. Then no acks wait in memory.
func (q *queue) leaving() bool {
	o := q.owner
	if o.draining.Load() {
		return true
	}
	n, ok := registry.Heir(registry.Logic, q.registered(), o.options.Registry.View())
	return ok && n.ID != o.options.Node
}

// registered names the queue in the registry.
func (q *queue) registered() registry.Queue {
	return registry.Queue{Class: uint8(q.name.Class), Number: uint32(q.name.Number)}
}

// ready makes the queue ready for a record, or says why that is not possible. It takes a queue over
// that is this node's, and lets go one that is not.
func (q *queue) ready(ctx context.Context) (*term, error) {
	if q.stopped != nil {
		if !q.mended(ctx) {
			if q.ours() {
				q.fails(q.stopped)
			}
			return nil, q.stopped
		}
		q.stopped = nil
	}
	t := q.term.Load()
	if !q.ours() {
		if t != nil {
			if err := q.release(ctx); err != nil {
				q.owner.warn(&q.owner.troubles.short, "acks were not written before a queue was let go", q, err)
			}
		}
		q.set(Unowned)
		q.able()
		return nil, ErrElsewhere
	}
	if operate.Elapsed() < time.Duration(q.again.Load()) {
		return nil, q.failed
	}
	var err error
	done := true // something was written, so more can be
	if t == nil {
		q.begins()
		t, err = q.take(ctx)
	} else {
		done = t.unsettled.Load()
		err = t.settle(ctx)
	}
	if err == nil && done {
		q.able()
	}
	return t, q.tried(t, err)
}

// tried takes in how a try ended, and gives what those who wait are told.
func (q *queue) tried(t *term, err error) error {
	if err == nil {
		q.failed, q.pause = nil, 0
		q.again.Store(0)
		q.set(Owned)
		return nil
	}
	o := q.owner
	var older *chain.OldViewError
	switch {
	case errors.Is(err, chain.ErrLost), errors.Is(err, chain.ErrTorn), errors.Is(err, chain.ErrLater), errors.Is(err, chain.ErrRetention), errors.Is(err, errBehindLoss), errors.Is(err, errDamaged):
		if t := q.term.Load(); t != nil && lost(err) {
			q.leaves(t)
		}
		q.forget()
		if errors.Is(err, chain.ErrLost) {
			err = fmt.Errorf("%w; run `gannet mend`, which says what is missing and how to go on without it", err)
		}
		q.stopped = fmt.Errorf("%w: %w", ErrStopped, err)
		q.set(Stopped)
		q.again.Store(int64(operate.Elapsed() + mendPause))
		if o.troubles.stopped.Note() {
			o.options.Log.Error("owner: a queue is stopped, a human has to look", "queue", q.name.String(), "err", err.Error())
		}
		q.fails(q.stopped)
		return q.stopped
	case errors.As(err, &older):
		q.forget()
		o.warn(&o.troubles.older, "a queue was taken over under a newer view of the registry", q, err)
		if o.options.Newer != nil {
			o.options.Newer(older.Theirs)
		}
		err = fmt.Errorf("%w: %w", ErrElsewhere, err)
	case errors.Is(err, chain.ErrMoved):
		q.forget()
		o.warn(&o.troubles.lost, "a queue was lost", q, err)
		err = fmt.Errorf("%w: %w", ErrElsewhere, err)
	case errors.Is(err, errWaits):
		q.waits(t, Waiting)
		o.warn(&o.troubles.redis, "the view of a queue does not answer", q, err)
	default:
		q.waits(t, Doubtful)
		o.warn(&o.troubles.broker, "a queue is not writable", q, err)
	}
	q.pause = min(max(2*q.pause, firstPause), lastPause)
	q.again.Store(int64(operate.Elapsed() + q.pause))
	q.failed = unavailable(err)
	q.fails(q.failed)
	return q.failed
}

// waits sets the state of a queue for which something does not answer.
func (q *queue) waits(t *term, s State) {
	if t == nil || q.term.Load() == nil {
		s = Taking
	}
	q.set(s)
}

// forget ends the term of a queue, if there is one: nothing that is known of it may be
// believed any more.
func (q *queue) forget() {
	if t := q.term.Swap(nil); t != nil {
		t.end()
	}
	q.set(Unowned)
}

func (o *Owner) warn(trouble *operate.Trouble, what string, q *queue, err error) {
	if trouble.Note() {
		o.options.Log.Warn("owner: "+what, "queue", q.name.String(), "err", err.Error())
	}
}
