package gateway

import "sync"

// scratchBytes is how much one write call carries at most.
const scratchBytes = 64 << 10

// writer takes what outboxes hold to their sockets. While it works through a
// list, everything that arrives for a connection gathers in its outbox: one
// write carries acks, pushes and receipts together.
type writer struct {
	wake chan struct{} // holds one token while waiting may not be empty

	mu      sync.Mutex
	waiting []*session
}

func newWriter() *writer { return &writer{wake: make(chan struct{}, 1)} }

// add hands over sessions whose queued mark the caller has set.
func (w *writer) add(sessions ...*session) {
	w.mu.Lock()
	w.waiting = append(w.waiting, sessions...)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *writer) run(stop <-chan struct{}) {
	scratch := make([]byte, 0, scratchBytes)
	var working []*session
	for {
		select {
		case <-stop:
			return
		case <-w.wake:
		}
		for {
			w.mu.Lock()
			working, w.waiting = w.waiting, working[:0]
			w.mu.Unlock()
			if len(working) == 0 {
				break
			}
			for i, s := range working {
				s.flush(scratch)
				working[i] = nil
			}
		}
	}
}
