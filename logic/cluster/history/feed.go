package history

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"gannet/internal/hop"
	"gannet/logic/ledger"
)

// Fed is a record of a queue that counts, as its owner gives it.
type Fed struct {
	Queue      Queue
	Prev, Mark Mark   // of the record that counts before it, and its own
	Version    uint64 // rises from record to record of a queue, for ever
	Record     *hop.Record

	// Change is what the owner's ledger worked out for the record; the ledger has the
	// Checkpoint 1. It is nil for a record that was read again from the queue: then States
	// has the conversations that the record touches, as they are at the record or later.
	Change *ledger.Change
	States []*ledger.Loaded
}

// FeederOptions says when a Feeder inserts.
type FeederOptions struct {
	Every time.Duration // after how long at the latest, 0: 1 s
	Rows  int           // or from so many messages on, 0: 50,000
	Bytes int           // or so many bytes, 0: 8 MiB
	Room  int           // bytes that wait at most, what is on its way included, 0: 64 MiB

	// Margin is for how long the server may hold what it has taken without syncing it: so
	// far behind the mark the records are fed again when it was started anew. 0: 2 minutes.
	Margin time.Duration

	// Behind is told the mark from which a queue has to be fed again, in a goroutine of the
	// Feeder: the server was started anew, or lost what it had. It must not call the Feeder.
	Behind func(Queue, Mark)
}

// Feeder takes the records of all queues of a node to ClickHouse, one insert for each table
// every second or so.
//
// The records of a queue are fed in the order of their chain. What does not follow the
// last record that was taken is not taken: the owner reads the queue again from the mark
// that Add names, until a record of its own follows by itself.
type Feeder struct {
	store   *Store
	options FeederOptions
	now     func() time.Time

	flushing sync.Mutex // one at a time
	sending  *block     // what the flush under way, or one that failed, has; guarded by flushing
	started  int64      // of the server, as the flush under way saw it; guarded by flushing

	mu      sync.Mutex // guards what follows
	queues  map[Queue]*fedQueue
	filling *block
	held    int // bytes of filling and sending
	stopped bool

	wake    chan struct{}
	ending  chan struct{}
	ended   sync.WaitGroup
	stopper sync.Once
}

// fedQueue is how far a queue is fed.
type fedQueue struct {
	taken    Mark // the last record that was taken
	inserted Mark // the last one that the server has

	// started is when the server began to run that has everything up to inserted.
	started int64
}

// NewFeeder makes a Feeder, which inserts until it is stopped.
func NewFeeder(store *Store, options FeederOptions) *Feeder {
	options.Every = cmp.Or(options.Every, time.Second)
	options.Rows = cmp.Or(options.Rows, 50_000)
	options.Bytes = cmp.Or(options.Bytes, 8<<20)
	options.Room = cmp.Or(options.Room, 64<<20)
	options.Margin = cmp.Or(options.Margin, 2*time.Minute)
	f := &Feeder{
		store: store, options: options, now: time.Now,
		queues: make(map[Queue]*fedQueue), filling: newBlock(),
		wake: make(chan struct{}, 1), ending: make(chan struct{}),
	}
	f.ended.Go(f.run)
	return f
}

// ErrStopped says that the Feeder was stopped.
var ErrStopped = errors.New("history: the feeder was stopped")

// Open begins with a queue that the node owns from now on, and gives the mark behind which
// its records are to be fed.
func (f *Feeder) Open(ctx context.Context, queue Queue) (Mark, error) {
	started, err := f.store.started(ctx)
	if err != nil {
		return Beginning, err
	}
	mark, err := f.store.resume(ctx, queue, started, f.options.Margin)
	if err != nil {
		return Beginning, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return Beginning, ErrStopped
	}
	f.queues[queue] = &fedQueue{taken: mark, inserted: mark, started: started}
	return mark, nil
}

// Leave ends with a queue that the node does not own any more. What was taken is inserted
// all the same, but no mark says so: that is for the next owner.
func (f *Feeder) Leave(queue Queue) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.queues, queue)
}

// Add takes a record, unless it does not follow the last one or there is no room: then
// taken is false, and the records behind at are to be read from the queue and added. It
// never waits, and keeps nothing of what it is given.
func (f *Feeder) Add(fed *Fed) (at Mark, taken bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := f.queues[fed.Queue]
	if q == nil || f.stopped {
		return Beginning, false
	}
	if fed.Prev != q.taken {
		return q.taken, false
	}
	if f.held >= f.options.Room {
		f.store.faults.full.Count()
		return q.taken, false
	}
	before := f.filling.bytes
	if refused := f.filling.add(fed); refused > 0 && f.store.faults.fed.Note() {
		f.store.log.Error("history: a record has messages that cannot be read", "queue", fed.Queue.String(), "offset", fed.Mark.Offset, "messages", refused)
	}
	f.held += f.filling.bytes - before
	q.taken = fed.Mark
	if f.filling.messages() >= f.options.Rows || f.filling.bytes >= f.options.Bytes {
		f.hurry()
	}
	return q.taken, true
}

func (f *Feeder) hurry() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Taken gives the last record of a queue that was taken: behind it the queue is to be read
// when Add refused something.
func (f *Feeder) Taken(queue Queue) (Mark, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if q := f.queues[queue]; q != nil {
		return q.taken, true
	}
	return Beginning, false
}

// Inserted gives the last record of a queue that ClickHouse has; the owner's memory keeps
// what is newer.
func (f *Feeder) Inserted(queue Queue) (Mark, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if q := f.queues[queue]; q != nil {
		return q.inserted, true
	}
	return Beginning, false
}

// Waiting gives how many bytes wait to be inserted.
func (f *Feeder) Waiting() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held
}

func (f *Feeder) run() {
	timer := time.NewTicker(f.options.Every)
	defer timer.Stop()
	for {
		select {
		case <-f.ending:
			return
		case <-timer.C:
		case <-f.wake:
		}
		if f.Flush(context.Background()) != nil {
			// The server is away: what comes meanwhile wakes nobody until the next tick.
			select {
			case <-f.ending:
				return
			case <-timer.C:
			}
			f.hurry()
		}
	}
}

// Flush inserts what was taken before the call.
func (f *Feeder) Flush(ctx context.Context) error {
	f.flushing.Lock()
	defer f.flushing.Unlock()
	if err := f.watch(ctx); err != nil {
		return err
	}
	if f.sending != nil { // of a flush that failed
		if err := f.send(ctx); err != nil {
			return err
		}
	}
	f.mu.Lock()
	if f.filling.empty() && !f.moved() {
		f.mu.Unlock()
		return nil
	}
	f.sending, f.filling = f.filling, newBlock()
	for queue, q := range f.queues {
		if q.taken != q.inserted {
			f.sending.marks[queue] = q.taken
		}
	}
	f.mu.Unlock()
	return f.send(ctx)
}

// moved says whether there is a mark to be written. mu is held.
func (f *Feeder) moved() bool {
	for _, q := range f.queues {
		if q.taken != q.inserted {
			return true
		}
	}
	return false
}

// send inserts the block that is on its way, and its marks when all of it is there.
// flushing is held.
func (f *Feeder) send(ctx context.Context) error {
	if err := f.insert(ctx); err != nil {
		return f.store.failed(&f.store.faults.inserts, "an insert failed; it is tried again", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for queue, mark := range f.sending.marks {
		if q := f.queues[queue]; q != nil {
			q.inserted = mark
		}
	}
	f.held -= f.sending.bytes
	f.sending = nil
	return nil
}

// insert writes the rows, and then the marks, unless the server is another one by then: it
// may have forgotten what the marks would stand for.
func (f *Feeder) insert(ctx context.Context) error {
	if err := f.store.insertRows(ctx, f.sending); err != nil || len(f.sending.marks) == 0 {
		return err
	}
	started, err := f.store.started(ctx)
	if err != nil {
		return err
	}
	if started > f.started+clockJitter {
		return errRestarted
	}
	return f.store.insertMarks(ctx, f.sending.marks)
}

// clockJitter is by how much two looks at the start of one server differ, in seconds: the
// two clocks of the difference do not tick together.
const clockJitter = 2

// errRestarted says that the server was started anew while a block went to it.
var errRestarted = errors.New("the server was started anew meanwhile")

// watch looks whether the server was started anew: then the last of what it took may be
// gone, and perhaps all of it. The marks of the queues concerned go back to where it has
// everything for certain; what is in memory goes on its way all the same. flushing is held.
func (f *Feeder) watch(ctx context.Context) error {
	started, err := f.store.started(ctx)
	if err != nil {
		return err
	}
	f.started = started
	var stale []Queue
	f.mu.Lock()
	for queue, q := range f.queues {
		if started > q.started+clockJitter {
			stale = append(stale, queue)
		}
	}
	f.mu.Unlock()
	if len(stale) == 0 {
		return nil
	}
	if f.store.faults.restarts.Note() {
		f.store.log.Warn("history: ClickHouse was started anew; what it may have lost is fed again")
	}
	if err := f.store.Migrate(ctx); err != nil { // it may be empty
		return err
	}
	for _, queue := range stale {
		mark, err := f.store.resume(ctx, queue, started, f.options.Margin)
		if err != nil {
			return err
		}
		f.mu.Lock()
		q := f.queues[queue]
		if q != nil {
			q.taken, q.inserted, q.started = mark, mark, started
			if f.sending != nil {
				delete(f.sending.marks, queue)
			}
		}
		f.mu.Unlock()
		if q != nil && f.options.Behind != nil {
			f.options.Behind(queue, mark)
		}
	}
	return nil
}

// Stop inserts the rest and ends the Feeder. With an error the rest is not inserted; the
// next owner reads it from the queue.
func (f *Feeder) Stop(ctx context.Context) error {
	f.stopper.Do(func() {
		f.mu.Lock()
		f.stopped = true
		f.mu.Unlock()
		close(f.ending)
	})
	f.ended.Wait()
	return f.Flush(ctx)
}
