package history

import (
	"context"
	"errors"
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
	item   T
	turn   chan bool // true: ask for all who wait; false: it is done
	broken bool      // whoever asked panicked
}

// errBroken says that nobody knows what became of a question.
var errBroken = errors.New("history: whoever asked for several met a bug")

// do calls ask with the items of all who wait, one call at a time, and returns when item is done.
// The error of ctx means that nobody asked for item. errBroken means that the call of ask panicked,
// and the contents of item mean nothing.
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
		if !lead && w.broken {
			return errBroken
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
	broken := true
	defer func() { l.end(others, broken) }() // also when ask panics: nobody shall wait for ever
	ask(items)
	broken = false
	return nil
}

// end tells the others that they are done, or that ask panicked. It gives the turn to the first of
// those who came meanwhile.
func (l *line[T]) end(others []*waiter[T], broken bool) {
	for _, w := range others {
		w.broken = broken
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
