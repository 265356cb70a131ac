package gateway

import "sync"

const (
	// scratchBytes is how much one write call carries at most.
	scratchBytes = 64 << 10

	// writeHere is how many connections a lane writes to itself after a batch.
	// Waking the writer for a few costs more than the writes; with many, the
	// lane's next batch should not have to wait for them.
	writeHere = 128
)

// writer takes what outboxes hold to their sockets. While it works through a
// list, everything that arrives for a connection gathers in its outbox: one
// write carries acks, pushes and receipts together.
type writer struct {
	wake chan struct{} // holds one token while waiting may not be empty

	mu      sync.Mutex
	waiting []*session

	working sync.Mutex // held to write; guards what follows
	list    []*session
	scratch []byte
}

func newWriter() *writer {
	return &writer{wake: make(chan struct{}, 1), scratch: make([]byte, 0, scratchBytes)}
}

// hold takes sessions, whose queued mark the caller has set, and does nothing
// about them until somebody calls settle or signal.
func (w *writer) hold(sessions ...*session) {
	w.mu.Lock()
	w.waiting = append(w.waiting, sessions...)
	w.mu.Unlock()
}

// add is hold, and wakes the writer.
func (w *writer) add(s *session) {
	w.hold(s)
	w.signal()
}

func (w *writer) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// settle sees to what is held: few connections are written to by the caller,
// more by the writer's goroutine.
func (w *writer) settle() {
	n := w.held()
	if n == 0 {
		return
	}
	if n <= writeHere && w.working.TryLock() {
		w.write()
		w.working.Unlock()
		if w.held() == 0 {
			return
		}
	}
	w.signal()
}

func (w *writer) held() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.waiting)
}

// write works once through what is held and says how much that was; working is
// held.
func (w *writer) write() int {
	w.mu.Lock()
	w.list, w.waiting = w.waiting, w.list[:0]
	w.mu.Unlock()
	for i, s := range w.list {
		s.flush(w.scratch)
		w.list[i] = nil
	}
	return len(w.list)
}

func (w *writer) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-w.wake:
		}
		w.working.Lock()
		for w.write() > 0 {
		}
		w.working.Unlock()
	}
}
