package parked

import (
	"context"
	"errors"
	"sync"
	"time"

	"gannet/internal/chain"
	"gannet/internal/hop"
)

// Replay is transfer's Queue and Parking for parked records. A transfer.Server that follows it
// handles the records once more, independently of the nodes that read the queues. A record that is
// done is removed; a record that is parked again stays, with one more try.
type Replay struct {
	store *Store
	class chain.Class

	mu       sync.Mutex
	left     int // queues that were not handed over, and records that are not settled
	pending  map[key]*Record
	owed     map[uint64]bool // gateways that did not get all, and are owed a hint
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
	Handled int      // records that were handled and removed
	Again   []Record // records that were parked again
	Err     error    // other failures, and records that cannot be read
}

// Replay makes a Replay for the queues of a class. Follow must be called once for each queue.
func (s *Store) Replay(class chain.Class, queues int) *Replay {
	r := &Replay{store: s, class: class, left: queues, pending: make(map[key]*Record), owed: make(map[uint64]bool), settled: make(chan struct{})}
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
	list, unreadable, err := r.store.List(ctx, name)
	r.mu.Lock()
	r.left += len(list)
	for i := range list {
		r.pending[key{queue, list[i].Mark.Offset}] = &list[i]
	}
	r.outcome.Err = errors.Join(r.outcome.Err, err)
	for _, u := range unreadable {
		r.outcome.Err = errors.Join(r.outcome.Err, u)
	}
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

// Owes implements transfer.Parking. Nobody gives the hint when this process has ended, so what is
// done while a gateway is owed one is parked again.
func (r *Replay) Owes(epoch uint64, owes bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if owes {
		r.owed[epoch] = true
	} else {
		delete(r.owed, epoch)
	}
}

// settle removes a record, or parks it again if Park was called since it was handed over, or if a
// gateway perhaps did not get it.
func (r *Replay) settle(p *Record, tries int) {
	r.mu.Lock()
	delete(r.pending, key{p.Queue.Number, p.Mark.Offset}) // nobody parks it any more
	again := p.Tries > tries
	if !again && len(r.owed) > 0 {
		again, p.Reason = true, "a gateway did not take it in time"
	}
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
			o.Again = append(o.Again, *p)
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
