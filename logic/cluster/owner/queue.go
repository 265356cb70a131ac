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
	// patience is how long a turn tries to get over a broker or a Redis that does not
	// answer, before those who wait are told.
	patience = time.Second

	// firstPause and lastPause are for how long nobody tries again after a failure.
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second

	// mendPause is after how long it is looked again whether a queue was mended that is
	// stopped because records are gone.
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

	stopped error         // a human has to look; for good, but for what gannet mend mends
	stopsAt *chain.Mark   // that of the view when it was looked again whether it was mended
	failed  error         // of the last try
	pause   time.Duration // after it
	again   atomic.Int64  // operate.Elapsed before which nobody tries again

	late   atomic.Bool            // transfer is behind, and senders are told busy
	unable atomic.Pointer[unable] // nil: records can be written, or it is not ours
}

func (q *queue) set(s State) { q.state.Store(uint32(s)) }

// turn does something in the turn of the queue.
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
	o := q.owner
	v := o.options.Registry.View()
	o.saw(v.Version)
	n, ok := registry.Owner(registry.Logic, q.registered(), v)
	return ok && n.ID == o.options.Node
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

// saw notes a version of the registry, which never falls here whatever the registry does.
func (o *Owner) saw(version uint64) uint64 {
	for {
		old := o.version.Load()
		if version <= old {
			return old
		}
		if o.version.CompareAndSwap(old, version) {
			return version
		}
	}
}

// ready makes the queue one into which a record can go, or says why it cannot be.
func (q *queue) ready(ctx context.Context) (*term, error) {
	if q.stopped != nil {
		if !q.mended(ctx) {
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
	done := true // something, which shows that more can be
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

// mended says whether whoever was to mend a queue that is stopped may have done so. What the
// broker lost is given up by setting the view to another mark, so as long as that is the same
// nothing is tried for it.
func (q *queue) mended(ctx context.Context) bool {
	lost := errors.Is(q.stopped, chain.ErrLost) || errors.Is(q.stopped, chain.ErrTorn)
	if !lost && !errors.Is(q.stopped, chain.ErrRetention) && !errors.Is(q.stopped, errBehindLoss) || operate.Elapsed() < time.Duration(q.again.Load()) {
		return false
	}
	if !lost {
		return true
	}
	q.again.Store(int64(operate.Elapsed() + mendPause))
	w, err := q.owner.options.View.Writer(q.name)
	if err != nil {
		return false
	}
	state, err := w.State(ctx)
	if err != nil || q.stopsAt != nil && *q.stopsAt == state.Mark {
		return false
	}
	q.stopsAt = &state.Mark
	q.again.Store(0)
	return true
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
