package owner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"gannet/internal/chain"
	"gannet/internal/operate"
	"gannet/logic"
	"gannet/logic/cluster/view"
	"gannet/protocol"
)

var (
	// ErrElsewhere says that another node owns the queue, or nobody does yet: who asks has
	// to look at the registry again. It is a logic.ErrUnavailable, as are all errors here.
	ErrElsewhere = fmt.Errorf("%w: the queue is not this node's", logic.ErrUnavailable)

	// ErrStopped says that a queue needs a human.
	ErrStopped = fmt.Errorf("%w: the queue was stopped", logic.ErrUnavailable)

	// errWaits says that Redis does not answer: nothing was tried.
	errWaits = fmt.Errorf("%w: the view does not answer", logic.ErrUnavailable)
)

// Options says how an Owner works.
type Options struct {
	Node     uint64 // this node's id in the registry
	Registry Registry

	Class   chain.Class
	Queues  int // of the class, in the whole cluster
	Stream  chain.Stream
	View    *view.View
	History History // nil: nothing but the queue
	Feeder  Feeder  // nil: nobody

	Conversations int // in memory, about, if all queues are this node's; 0: defaultConversations
	ClientIDs     int // likewise; 0: a million
	Devices       int // of one user that a conversation knows, 0: as many as ledgers do by default
	Tail          int // bytes of the newest messages in memory, if all queues are this node's, 0: 64 MiB
	Record        int // bytes of a record, but for acks that come along, 0: chain.MaxRecord

	Retention time.Duration // for how long the broker keeps records, as was said; 0: nobody said

	// Reader gives the mark up to which transfer has taken a queue. If it is nil, or Retention is
	// 0, nobody checks whether transfer is behind.
	Reader func(ctx context.Context, queue chain.Queue) (chain.Mark, error)

	Admit func(user uint64) time.Duration // as in ledger.Options
	Newer func(version uint64)            // told of a newer view of the registry than this node has. nil: nobody
	Now   func() time.Time                // nil: the time of day
	Log   *slog.Logger                    // nil: slog.Default()
}

const (
	// defaultConversations takes some 140 MB with two devices a conversation. One that is not in
	// memory costs a look-up in Redis before its next message.
	defaultConversations = 1 << 18
	defaultClientIDs     = 1 << 20
	defaultTail          = 64 << 20

	// mostRecord bounds a record with all acks that come along. A broker takes 4 MiB by
	// default, a view twice as much.
	mostRecord = 3 << 20
)

// Owner is the queues of one class as one node owns them. It is logic.Log.
type Owner struct {
	options  Options
	queues   []*queue
	troubles troubles
	filling  operate.Seldom // for the log lines that say how far rebuildings are
	draining atomic.Bool
	takes    chan struct{} // a queue was taken over

	ending context.Context // ends when the Owner closes
	end    context.CancelFunc
	tended sync.WaitGroup // the goroutines of the queues
	helped sync.WaitGroup // those of terms

	mu     sync.Mutex // guards closed, and calls.Add against Close
	closed bool
	calls  sync.WaitGroup
}

var _ logic.Log = (*Owner)(nil)

// troubles are what does not go as it should, each counted and seldom logged.
type troubles struct {
	doubts, voids, lost, older, broker, redis, repairs, rebuilds, short, stopped, feeding, panics, damaged, talks, foreign, above, young, late, unable, unasked, lag, stands operate.Trouble

	taken, released, records, replayed, rebuilt, mended, acks atomic.Uint64
}

// New makes an Owner, which takes over what the registry says is this node's.
func New(o Options) (*Owner, error) {
	if o.Node == 0 || o.Registry == nil || o.Stream == nil || o.View == nil {
		return nil, errors.New("owner: a node, a registry, a stream and a view are needed")
	}
	if o.Queues < 1 || o.Queues > protocol.Partitions {
		return nil, fmt.Errorf("owner: %d queues; 1 to %d are possible", o.Queues, protocol.Partitions)
	}
	or := func(n *int, by int) {
		if *n == 0 {
			*n = by
		}
	}
	or(&o.Conversations, defaultConversations)
	or(&o.ClientIDs, defaultClientIDs)
	or(&o.Tail, defaultTail)
	or(&o.Record, chain.MaxRecord)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	w := &Owner{options: o, takes: make(chan struct{}, 1)}
	w.ending, w.end = context.WithCancel(context.Background())
	for i := range o.Queues {
		q := &queue{owner: w, name: chain.Queue{Class: o.Class, Number: i}, turns: make(chan struct{}, 1), lacks: chain.Beginning, past: -1}
		if !q.name.Valid() {
			return nil, fmt.Errorf("owner: %v cannot be", q.name)
		}
		q.line.Fits = func(batches []*logic.Batch) int { return fitting(batches, o.Record) }
		w.queues = append(w.queues, q)
	}
	for _, q := range w.queues {
		w.tended.Go(q.tend)
	}
	if o.Retention > 0 {
		w.tended.Go(w.watchRetention)
	}
	return w, nil
}

// Apply implements logic.Log.
func (o *Owner) Apply(ctx context.Context, batches []*logic.Batch) error {
	if err := o.enter(); err != nil {
		return err
	}
	defer o.calls.Done()
	if len(batches) == 1 {
		o.apply(ctx, batches[0])
		return nil
	}
	var all sync.WaitGroup
	for _, b := range batches {
		all.Go(func() { o.apply(ctx, b) })
	}
	all.Wait()
	return nil
}

func (o *Owner) apply(ctx context.Context, b *logic.Batch) {
	if b.Queue < 0 || b.Queue >= len(o.queues) {
		failBatch(b, unavailable(fmt.Errorf("there is no queue %d", b.Queue)))
		return
	}
	q := o.queues[b.Queue]
	// The caller that writes also writes for others, so the end of its call must not end the
	// writing.
	err := q.line.Do(ctx, b, func(batches []*logic.Batch) {
		_ = q.turn(context.WithoutCancel(ctx), func(ctx context.Context) error {
			q.write(ctx, batches)
			return nil
		})
	})
	if err != nil {
		failBatch(b, unavailable(err))
	}
}

// enter begins a call; calls.Done ends one for which it gave no error.
func (o *Owner) enter() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return fmt.Errorf("%w: it is closed", logic.ErrUnavailable)
	}
	o.calls.Add(1)
	return nil
}

// FeedAgain has the records of a queue behind the mark fed to the history again, because the
// history lost them. It does nothing for a queue that is not this node's: the owner of that queue
// notices the loss itself.
func (o *Owner) FeedAgain(queue chain.Queue, at chain.Mark) {
	if queue.Class != o.options.Class || queue.Number >= len(o.queues) {
		return
	}
	if t := o.queues[queue.Number].term.Load(); t != nil && t.feed != nil {
		t.feed.at.Store(&at)
		t.signal(t.feed.wakes)
	}
}

// Drain is the first step of a stop: acks that wait are written, and from then on none
// waits. When it has returned without an error the node may tell the registry that it owns
// nothing any more; the queues are let go as the registry says so.
func (o *Owner) Drain(ctx context.Context) error {
	o.draining.Store(true)
	return o.each(ctx, (*queue).flush)
}

// Close lets all queues go, with acks written, and ends. Later calls are answered with
// logic.ErrUnavailable. An error says that acks may not be written; what was answered is
// durable either way.
func (o *Owner) Close(ctx context.Context) error {
	o.draining.Store(true)
	o.mu.Lock()
	closed := o.closed
	o.closed = true
	o.mu.Unlock()
	if closed {
		return nil
	}
	o.end()
	o.tended.Wait()
	o.calls.Wait()
	err := o.each(ctx, (*queue).release)
	for _, q := range o.queues {
		q.forget() // queues that did not get their turn before ctx ended
	}
	o.helped.Wait()
	return err
}

// each does something with every queue that is this node's, in its turn. One that is being taken
// over is not yet.
func (o *Owner) each(ctx context.Context, do func(q *queue, ctx context.Context) error) error {
	errs := make([]error, len(o.queues))
	var all sync.WaitGroup
	for i, q := range o.queues {
		if q.term.Load() == nil {
			continue
		}
		all.Go(func() { errs[i] = q.turn(ctx, func(ctx context.Context) error { return do(q, ctx) }) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// Vars are counters for the debug address.
func (o *Owner) Vars() map[string]uint64 {
	t := &o.troubles
	vars := map[string]uint64{
		"doubt.records": t.doubts.Times(), "doubt.void": t.voids.Times(), "lost.queues": t.lost.Times(), "refused.older_view": t.older.Times(),
		"failed.broker": t.broker.Times(), "failed.view": t.redis.Times(), "repair.views": t.repairs.Times(), "repair.rebuilds": t.rebuilds.Times(),
		"repair.short": t.short.Times(), "stopped.queues": t.stopped.Times(), "failed.feed": t.feeding.Times(), "failed.lag": t.lag.Times(), "panics": t.panics.Times(),
		"damaged.records": t.damaged.Times(), "damaged.conversations": t.talks.Times(), "repair.conversations": t.mended.Load(),
		"refused.foreign_conversations": t.foreign.Times(), "refused.above_head": t.above.Times(), "short.retention": t.young.Times(), "late.looks": t.late.Times(), "unable.queues": t.unable.Times(), "failed.kept": t.unasked.Times(), "stuck.feeds": t.stands.Times(),
		"queues.taken": t.taken.Load(), "queues.released": t.released.Load(), "records": t.records.Load(),
		"replayed.records": t.replayed.Load(), "rebuilt.conversations": t.rebuilt.Load(), "unavailable.conversations": 0, "ack_records": t.acks.Load(),
	}
	for _, q := range o.queues {
		vars["state."+State(q.state.Load()).String()]++
		if t := q.term.Load(); t != nil {
			vars["unavailable.conversations"] += t.damaged.number()
		}
	}
	return vars
}

// State gives the state of a queue.
func (o *Owner) State(queue int) State { return State(o.queues[queue].state.Load()) }

func failBatch(b *logic.Batch, err error) {
	b.Err = err
	for i := range b.Entries {
		b.Entries[i].Outcome = logic.Unknown
	}
}

// unavailable makes an error one that callers know.
func unavailable(err error) error {
	if err == nil || errors.Is(err, logic.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", logic.ErrUnavailable, err)
}
