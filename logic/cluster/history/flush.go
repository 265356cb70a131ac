package history

import (
	"context"
	"errors"
	"time"

	"gannet/internal/chain"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Flush inserts what was taken before the call.
func (f *Feeder) Flush(ctx context.Context) error {
	f.flushing.Lock()
	defer f.flushing.Unlock()
	r, err := f.watch(ctx)
	if err != nil {
		return err
	}
	if f.sending != nil { // of a flush that failed
		if err := f.send(ctx, r); err != nil {
			return err
		}
	}
	f.mu.Lock()
	for queue, q := range f.queues {
		if q.taken != q.inserted {
			f.filling.goals[queue] = goal{q, q.taken}
		}
	}
	if f.filling.empty() {
		f.mu.Unlock()
		return nil
	}
	f.sending, f.filling = f.filling, newBlock()
	f.mu.Unlock()
	return f.send(ctx, r)
}

// send inserts the block that is on its way, and its marks when all of it is there.
// flushing is held.
func (f *Feeder) send(ctx context.Context, r run) error {
	if err := f.insert(ctx, r); err != nil {
		return f.store.failed(&f.store.faults.inserts, "an insert failed; it is tried again", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held -= f.sending.bytes
	f.sending = nil
	return nil
}

// errNoDatabase is how the server says that it does not have the database.
const errNoDatabase = 81

// errRestarted says that the server was started anew while a block went to it.
var errRestarted = errors.New("the server was started anew meanwhile")

// insert writes the rows and then the marks. It writes no marks if the server is in another run by
// then, because it may have forgotten rows that the marks would stand for. flushing is held.
func (f *Feeder) insert(ctx context.Context, r run) error {
	if err := f.store.insertRows(ctx, f.sending); err != nil || len(f.sending.goals) == 0 {
		return err
	}
	after, err := f.store.running(ctx)
	if err != nil {
		return err
	}
	if !after.same(r) {
		return errRestarted
	}
	f.mu.Lock()
	marks := make(map[chain.Queue]marked, len(f.sending.goals))
	for queue, g := range f.sending.goals {
		if f.queues[queue] == g.of {
			marks[queue] = marked{mark: g.mark, safe: g.of.certain(time.Now(), f.store.options.Margin), run: r}
		}
	}
	f.mu.Unlock()
	if len(marks) == 0 {
		return nil
	}
	if err := f.store.insertMarks(ctx, marks); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for queue, m := range marks {
		f.sending.goals[queue].of.settle(m.mark, time.Now(), f.store.options.Margin)
	}
	return nil
}

// watch gives the run of the server. If a queue knows another run, the server was started anew, and
// may have lost its newest rows, or all of them. If it does not have the mark of a queue any more,
// somebody emptied it while it ran. Then the queue goes back to the mark up to which
// everything is certain. Rows in memory are inserted all the same. flushing is held.
func (f *Feeder) watch(ctx context.Context) (run, error) {
	r, err := f.store.running(ctx)
	var exception *clickhouse.Exception
	if errors.As(err, &exception) && exception.Code == errNoDatabase { // it was emptied
		if err = f.store.Migrate(ctx); err == nil {
			r, err = f.store.running(ctx)
		}
	}
	if err != nil {
		return r, err
	}
	marks, err := f.store.allMarked(ctx, "")
	if err != nil {
		return r, err
	}
	var stale []chain.Queue
	f.mu.Lock()
	for queue, q := range f.queues {
		m := markedOf(marks, queue)
		if !q.run.same(r) || m.mark.Offset < q.inserted.Offset {
			stale = append(stale, queue)
		}
	}
	f.mu.Unlock()
	if len(stale) == 0 {
		return r, nil
	}
	if f.store.faults.restarts.Note() {
		f.store.log.Warn("history: ClickHouse was started anew, or emptied; what it may have lost is fed again", "empty", len(marks) == 0)
	}
	for _, queue := range stale {
		m := markedOf(marks, queue)
		f.mu.Lock()
		_, owned := f.queues[queue]
		if owned {
			f.queues[queue] = fedUnder(r, &m, time.Now())
		}
		f.mu.Unlock()
		if owned && f.options.Behind != nil {
			f.options.Behind(queue, m.under(r))
		}
	}
	return r, nil
}
