package gateway

import "sync"

// scratchBytes is how much one write call carries at most.
const scratchBytes = 64 << 10

// writers write to the sockets, each to those of its share of the sessions. While
// one works through its list, everything that arrives for a connection gathers in
// its outbox: one write carries acks, pushes and receipts together.
type writers []*writer

// writer is one of them. It has a goroutine of its own.
type writer struct {
	awake chan struct{} // holds one token while waiting may not be empty

	mu      sync.Mutex
	waiting []*session
}

func newWriters(n int) writers {
	list := make(writers, n)
	for i := range list {
		list[i] = &writer{awake: make(chan struct{}, 1)}
	}
	return list
}

// add puts sessions, for which list was true, on the lists of their writers. They
// are written to when wake is called next, by anybody.
func (list writers) add(sessions ...*session) {
	if len(list) == 1 {
		list[0].add(sessions)
		return
	}
	for i, s := range sessions {
		list[s.id%uint64(len(list))].add(sessions[i : i+1])
	}
}

func (w *writer) add(sessions []*session) {
	w.mu.Lock()
	w.waiting = append(w.waiting, sessions...)
	w.mu.Unlock()
}

// wake has the writers write to everything that was added.
func (list writers) wake() {
	for _, w := range list {
		select {
		case w.awake <- struct{}{}:
		default:
		}
	}
}

// take swaps the lists.
func (w *writer) take(empty []*session) []*session {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.waiting
	w.waiting = empty
	return list
}

func (w *writer) run(stop <-chan struct{}) {
	var list []*session
	scratch := make([]byte, 0, scratchBytes)
	for {
		select {
		case <-stop:
			return
		case <-w.awake:
		}
		// What is added from here on waits for the next wake, so that the pushes of a
		// batch are not written while it is under way.
		list = w.take(list[:0])
		for i, s := range list {
			s.flush(scratch)
			list[i] = nil
		}
	}
}
