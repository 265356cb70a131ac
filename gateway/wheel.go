package gateway

import (
	"sync"
	"sync/atomic"
	"time"
)

// wheel is a hashed timer wheel (Varghese and Lauck, 1987) for everything that a connection waits
// for: login, heartbeat, PUSHACK, a blocked socket. Each session is in it at most once, at the
// earliest of its deadlines. So all connections together need one timer and one goroutine.
type wheel struct {
	clock atomic.Int64 // ticks since the start
	start time.Time    // start of run; its monotonic reading ignores changes of the wall clock

	mu    sync.Mutex
	slots [wheelSlots]*session // heads of lists through session.timer
}

// timer is a session's place in the wheel; the wheel's mutex guards it, but for
// due, which others may read.
type timer struct {
	prev, next *session
	due        atomic.Int64 // the tick at which it fires; 0: not in the wheel
}

// now gives the current tick.
func (w *wheel) now() int64 { return w.clock.Load() }

// schedule makes the session fire at the tick due or earlier.
func (w *wheel) schedule(s *session, due int64) {
	if at := s.timer.due.Load(); at != 0 && at <= due {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if at := s.timer.due.Load(); at != 0 {
		if at <= due {
			return // somebody else has scheduled it for an earlier tick meanwhile
		}
		w.unlink(s)
	}
	due = max(due, w.now()+1)
	s.timer.due.Store(due)
	head := &w.slots[due%wheelSlots]
	s.timer.prev, s.timer.next = nil, *head
	if *head != nil {
		(*head).timer.prev = s
	}
	*head = s
}

// remove takes the session out of the wheel.
func (w *wheel) remove(s *session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.timer.due.Load() != 0 {
		w.unlink(s)
	}
}

func (w *wheel) unlink(s *session) {
	t := &s.timer
	if t.prev != nil {
		t.prev.timer.next = t.next
	} else {
		w.slots[t.due.Load()%wheelSlots] = t.next
	}
	if t.next != nil {
		t.next.timer.prev = t.prev
	}
	t.prev, t.next = nil, nil
	t.due.Store(0)
}

// advance moves the clock on by one tick. It removes the sessions that are due from the wheel and
// appends them to dst.
func (w *wheel) advance(dst []*session) []*session {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock.Add(1)
	for s := w.slots[now%wheelSlots]; s != nil; {
		next := s.timer.next
		if s.timer.due.Load() <= now {
			w.unlink(s)
			dst = append(dst, s)
		}
		s = next
	}
	return dst
}

// run turns the wheel until stop is closed and calls fire for each session that is due. If the
// process stood still, it catches up tick by tick.
func (w *wheel) run(stop <-chan struct{}, fire func(*session)) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	w.start = time.Now()
	var due []*session
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		for target := int64(time.Since(w.start) / tick); w.now() < target; {
			due = w.advance(due[:0])
			for i, s := range due {
				fire(s)
				due[i] = nil
			}
		}
	}
}
