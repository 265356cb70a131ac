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
	mu      sync.Mutex
	busy    bool
	waiting []*waiter
}

type waiter struct {
	batch *logic.Batch // nil: only wants its turn
	turn  chan bool    // true: write for all who wait; false: it is done
}

// Do has write called with all batches that wait, this one among them, one call at
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
	others := l.waiting
	l.waiting = nil
	l.mu.Unlock()

	batches := make([]*logic.Batch, 0, 1+len(others))
	if batch != nil {
		batches = append(batches, batch)
	}
	for _, w := range others {
		if w.batch != nil {
			batches = append(batches, w.batch)
		}
	}
	defer l.end(others) // also when write panics: nobody shall wait for ever
	write(batches)
	return nil
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
