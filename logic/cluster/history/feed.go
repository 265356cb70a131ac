package history

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/logic/ledger"
)

// Fed is a record of a queue that counts, as its owner gives it.
type Fed struct {
	Queue      chain.Queue
	Prev, Mark chain.Mark  // of the record that counts before it, and its own
	Version    uint64      // rises from record to record of a queue, for ever
	Record     *hop.Record // nil: it has no entries, or with Mark as Prev, States alone are given

	// Oldest says that the queue has no older record any more. What was not inserted of
	// those is lost to ClickHouse, and readers are told that it is not there.
	Oldest bool

	// Change is what the owner's ledger worked out for the record; the ledger has the
	// Checkpoint 1. It is nil for a record that was read again from the queue: then States
	// has the conversations that the record touches, as they are at the record or later.
	Change *ledger.Change
	States []*ledger.Loaded

	// Lost is set if States are given alone because records were given up. Once the record of this
	// mark is in, every message up to the head of one of these conversations that is not there is
	// lost for good.
	Lost chain.Mark
}

// FeederOptions says when a Feeder inserts.
type FeederOptions struct {
	Every time.Duration // after how long at the latest, 0: 1 s
	Rows  int           // or from so many messages on, 0: 50,000
	Bytes int           // or so many bytes, 0: 8 MiB
	Room  int           // bytes that wait at most, what is on its way included, 0: 64 MiB

	// Behind is told the mark from which a queue has to be fed again: the server was
	// started anew, or lost what it had. It must neither block nor call Flush or Stop.
	Behind func(chain.Queue, chain.Mark)
}

// Feeder takes the records of all queues of a node to ClickHouse, one insert for each table
// every second or so.
//
// The records of a queue are fed in the order of their chain. A record that does not follow the
// last one taken is refused. Then the owner reads the queue again from the mark that Add gives,
// until a new record of its own follows by itself.
type Feeder struct {
	store   *Store
	options FeederOptions

	flushing sync.Mutex // one at a time
	sending  *block     // what the flush under way, or one that failed, has; guarded by flushing

	mu      sync.Mutex // guards what follows
	queues  map[chain.Queue]*fedQueue
	filling *block
	held    int // bytes of filling and sending
	stopped bool

	wake  chan struct{}
	end   context.CancelFunc
	ended sync.WaitGroup
}

// NewFeeder makes a Feeder, which inserts until it is stopped.
func NewFeeder(store *Store, options FeederOptions) *Feeder {
	options.Every = cmp.Or(options.Every, time.Second)
	options.Rows = cmp.Or(options.Rows, 50_000)
	options.Bytes = cmp.Or(options.Bytes, 8<<20)
	options.Room = cmp.Or(options.Room, 64<<20)
	f := &Feeder{
		store: store, options: options,
		queues: make(map[chain.Queue]*fedQueue), filling: newBlock(), wake: make(chan struct{}, 1),
	}
	ctx, end := context.WithCancel(context.Background())
	f.end = end
	f.ended.Go(func() { f.run(ctx) })
	return f
}

// ErrStopped says that the Feeder was stopped.
var ErrStopped = errors.New("history: the feeder was stopped")

// Open begins with a queue that the node owns from now on, and gives the mark behind which
// its records are to be fed.
func (f *Feeder) Open(ctx context.Context, queue chain.Queue) (chain.Mark, error) {
	r, err := f.store.running(ctx)
	if err != nil {
		return chain.Beginning, err
	}
	m, err := f.store.marked(ctx, queue)
	if err != nil {
		return chain.Beginning, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return chain.Beginning, ErrStopped
	}
	q := fedUnder(r, &m, time.Now())
	f.queues[queue] = q
	return q.taken, nil
}

// Leave ends with a queue that the node does not own any more. What was taken is inserted
// all the same, but no mark says so: that is for the next owner.
func (f *Feeder) Leave(queue chain.Queue) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.queues, queue)
}

// Add takes a record. If the record does not follow the last one, or if there is no room, taken is
// false: then the caller must read the records behind at from the queue and add those. Add never
// waits, and keeps no reference to what it is given.
func (f *Feeder) Add(fed *Fed) (at chain.Mark, taken bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := f.queues[fed.Queue]
	if q == nil || f.stopped {
		return chain.Beginning, false
	}
	if fed.Prev != q.taken {
		if !fed.Oldest || fed.Mark.Offset <= q.taken.Offset {
			return q.taken, false
		}
		if f.store.faults.gaps.Note() {
			f.store.log.Error("history: a queue has lost records that were not inserted", "queue", fed.Queue, "behind", q.taken, "up to", fed.Prev)
		}
	}
	if f.held >= f.options.Room {
		if f.store.faults.full.Note() {
			f.store.log.Warn("history: too much waits for ClickHouse; records are left to the queue", "bytes", f.held)
		}
		return q.taken, false
	}
	before := f.filling.bytes
	if refused := f.filling.add(fed); refused > 0 && f.store.faults.fed.Note() {
		f.store.log.Error("history: a record has messages that cannot be read", "queue", fed.Queue, "offset", fed.Mark.Offset, "messages", refused)
	}
	f.held += f.filling.bytes - before
	q.taken = fed.Mark
	if f.filling.messages() >= f.options.Rows || f.filling.bytes >= f.options.Bytes {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
	return q.taken, true
}

// Taken gives the mark of the last record of a queue that was taken. If Add refused something, the
// queue must be read from there on. false: the queue is not the node's.
func (f *Feeder) Taken(queue chain.Queue) (chain.Mark, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if q := f.queues[queue]; q != nil {
		return q.taken, true
	}
	return chain.Beginning, false
}

// Inserted gives the last record of a queue that ClickHouse has; the owner's memory keeps
// what is newer.
func (f *Feeder) Inserted(queue chain.Queue) (chain.Mark, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if q := f.queues[queue]; q != nil {
		return q.inserted, true
	}
	return chain.Beginning, false
}

// Waiting gives how many bytes wait to be inserted.
func (f *Feeder) Waiting() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held
}

func (f *Feeder) run(ctx context.Context) {
	timer := time.NewTicker(f.options.Every)
	defer timer.Stop()
	for wake := f.wake; ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-wake:
		}
		if wake = f.wake; f.Flush(ctx) != nil {
			wake = nil // the server is away: nobody hurries until the next tick
		}
	}
}

// Stop inserts the rest and ends the Feeder. With an error the rest is not inserted; the
// next owner reads it from the queue.
func (f *Feeder) Stop(ctx context.Context) error {
	f.mu.Lock()
	f.stopped = true
	f.mu.Unlock()
	f.end()
	f.ended.Wait()
	return f.Flush(ctx)
}
