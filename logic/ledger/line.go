package ledger

import (
	"context"
	"slices"
	"sync"

	"gannet/logic"
)

// Line gathers the calls that wait for a queue: while one record is under way, the
// batches of the next one gather. There is no goroutine behind it; of those who
// wait one writes for all.
type Line struct {
	// Fits says how many of the batches that wait, oldest first, are written in one turn;
	// the others wait for the next one. At least one is. nil: all.
	Fits func(batches []*logic.Batch) int

	mu      sync.Mutex
	busy    bool
	waiting []*waiter
}

type waiter struct {
	batch *logic.Batch // nil: only wants its turn
	turn  chan bool    // true: write for all who wait; false: it is done
}

// Do has write called with the batches that wait, this one among them, one call at
// a time, and returns when it is done with this one. batch may be nil. An error,
// that of ctx, means that it was not tried.
func (l *Line) Do(ctx context.Context, batch *logic.Batch, write func(batches []*logic.Batch)) error {
	l.mu.Lock()
	if l.busy {
		w := &waiter{batch: batch, turn: make(chan bool, 1)}
		l.waiting = append(l.waiting, w)
		l.mu.Unlock()
		select {
		case lead := <-w.turn:
			if !lead {
				return nil
			}
		case <-ctx.Done():
			l.mu.Lock()
			if i := slices.Index(l.waiting, w); i >= 0 {
				l.waiting = slices.Delete(l.waiting, i, i+1)
				l.mu.Unlock()
				return ctx.Err()
			}
			l.mu.Unlock()
			if lead := <-w.turn; !lead {
				return nil
			}
		}
		l.mu.Lock()
	}
	l.busy = true
	batches := make([]*logic.Batch, 0, 1+len(l.waiting))
	if batch != nil {
		batches = append(batches, batch)
	}
	for _, w := range l.waiting {
		if w.batch != nil {
			batches = append(batches, w.batch)
		}
	}
	others := l.waiting
	if l.Fits != nil && len(batches) > 1 {
		batches = batches[:max(l.Fits(batches), 1)]
		others = l.first(batches[len(batches)-1])
	}
	l.waiting = slices.Clone(l.waiting[len(others):])
	l.mu.Unlock()

	defer l.end(others) // also when write panics: nobody shall wait for ever
	write(batches)
	return nil
}

// first gives those who wait up to the one with the batch, none if the batch is not of one
// who waits. mu is held.
func (l *Line) first(last *logic.Batch) []*waiter {
	return l.waiting[:1+slices.IndexFunc(l.waiting, func(w *waiter) bool { return w.batch == last })]
}

// end tells the others that they are done, and the first of those who came
// meanwhile that it is its turn.
func (l *Line) end(others []*waiter) {
	for _, w := range others {
		w.turn <- false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.busy = false
		return
	}
	next := l.waiting[0]
	l.waiting = slices.Delete(l.waiting, 0, 1)
	next.turn <- true
}
