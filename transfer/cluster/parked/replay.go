package parked

import (
	"context"
	"errors"
	"sync"
	"time"

	"gannet/internal/chain"
	"gannet/internal/hop"
)

// Replay is transfer's Queue and Parking for parked records: a transfer.Server that
// follows it handles them once more, whoever reads the queues meanwhile. One that is done
// is removed; one that is parked again stays, with one more try.
type Replay struct {
	store *Store
	class chain.Class

	mu       sync.Mutex
	left     int // queues that were not handed over, and records that are not settled
	pending  map[key]*Record
	outcome  Outcome
	settled  chan struct{}
	settling sync.WaitGroup
}

// key names a record within a class.
type key struct {
	queue  int
	offset int64
}

// Outcome is what became of the records.
type Outcome struct {
	Handled int // and removed
	Again   int // parked again
	Err     error
}

// Replay makes one for some queues of a class, each of which is to be followed once.
func (s *Store) Replay(class chain.Class, queues int) *Replay {
	r := &Replay{store: s, class: class, left: queues, pending: make(map[key]*Record), settled: make(chan struct{})}
	if queues == 0 {
		close(r.settled)
	}
	return r
}

// Wait waits until every record was handled or parked again. The error is that of ctx;
// what is not settled then stays parked.
func (r *Replay) Wait(ctx context.Context) (Outcome, error) {
	var err error
	select {
	case <-r.settled:
		r.settling.Wait()
	case <-ctx.Done():
		err = ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.outcome, err
}

// Follow implements transfer.Queue.
func (r *Replay) Follow(ctx context.Context, queue int, take func(ctx context.Context, record *hop.Record, done func())) error {
	name := chain.Queue{Class: r.class, Number: queue}
	list, err := r.store.List(ctx, name)
	r.mu.Lock()
	r.left += len(list)
	for i := range list {
		r.pending[key{queue, list[i].Mark.Offset}] = &list[i]
	}
	r.outcome.Err = errors.Join(r.outcome.Err, err)
	r.mu.Unlock()
	for i := range list {
		p := &list[i]
		record := &hop.Record{}
		_ = p.Hop(record) // of one that holds no entries transfer sees it
		tries := p.Tries
		var once sync.Once
		take(ctx, record, func() { once.Do(func() { r.settling.Go(func() { r.settle(p, tries) }) }) })
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	r.less(func(*Outcome) {})
	<-ctx.Done()
	return ctx.Err()
}

// Park implements transfer.Parking.
func (r *Replay) Park(queue int, mark uint64, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.pending[key{queue, int64(mark) - 1}]; p != nil {
		p.Tries++
		p.Reason = reason
	}
}

// Owes implements transfer.Parking: a gateway that does not take all of this is one for the
// next try.
func (r *Replay) Owes(uint64, bool) {}

// settle removes a record, or parks it again if it was parked since it had so many tries.
func (r *Replay) settle(p *Record, tries int) {
	r.mu.Lock()
	delete(r.pending, key{p.Queue.Number, p.Mark.Offset}) // nobody parks it any more
	again := p.Tries > tries
	r.mu.Unlock()
	var err error
	if again {
		p.Tries, p.Parked = tries+1, time.Now()
		_, err = r.store.Park(context.Background(), p)
	} else {
		err = r.store.Remove(context.Background(), p.Queue, p.Mark)
	}
	r.less(func(o *Outcome) {
		o.Err = errors.Join(o.Err, err)
		if again {
			o.Again++
		} else if err == nil {
			o.Handled++
		}
	})
}

func (r *Replay) less(note func(*Outcome)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	note(&r.outcome)
	if r.left--; r.left == 0 {
		close(r.settled)
	}
}
