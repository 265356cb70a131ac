package history

import (
	"context"
	"slices"
	"sync"
)

// line joins calls: while one query is under way those that come meanwhile gather for the
// next. There is no goroutine behind it; of those who wait one asks for all.
type line[T any] struct {
	mu      sync.Mutex
	busy    bool
	waiting []*waiter[T]
}

type waiter[T any] struct {
	item T
	turn chan bool // true: ask for all who wait; false: it is done
}

// do has ask called with the items of all who wait, one call at a time, and returns when
// it is done with this one. An error, that of ctx, means that nobody asked.
func (l *line[T]) do(ctx context.Context, item T, ask func(items []T)) error {
	l.mu.Lock()
	if l.busy {
		w := &waiter[T]{item: item, turn: make(chan bool, 1)}
		l.waiting = append(l.waiting, w)
		l.mu.Unlock()
		lead := false
		select {
		case lead = <-w.turn:
		case <-ctx.Done():
			l.mu.Lock()
			if i := slices.Index(l.waiting, w); i >= 0 {
				l.waiting = slices.Delete(l.waiting, i, i+1)
				l.mu.Unlock()
				return ctx.Err()
			}
			l.mu.Unlock()
			lead = <-w.turn // somebody asks for it already
		}
		if !lead {
			return nil
		}
		l.mu.Lock()
	}
	l.busy = true
	others := l.waiting
	l.waiting = nil
	l.mu.Unlock()

	items := make([]T, 0, 1+len(others))
	items = append(items, item)
	for _, w := range others {
		items = append(items, w.item)
	}
	defer l.end(others) // also when ask panics: nobody shall wait for ever
	ask(items)
	return nil
}

// end tells the others that they are done, and the first of those who came meanwhile that
// it is its turn.
func (l *line[T]) end(others []*waiter[T]) {
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
