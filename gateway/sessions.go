package gateway

import "sync"

// sessions finds connections by id.
type sessions struct {
	mu     sync.RWMutex
	byID   map[uint64]*session
	lastID uint64
	gone   chan struct{} // made by empty, and closed when the last session leaves
}

// add gives the session its id and enters it.
func (t *sessions) add(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lastID++
	s.id = t.lastID
	t.byID[s.id] = s
}

func (t *sessions) remove(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byID, s.id)
	if len(t.byID) == 0 && t.gone != nil {
		close(t.gone)
		t.gone = nil
	}
}

func (t *sessions) len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.byID)
}

func (t *sessions) get(id uint64) *session {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byID[id]
}

func (t *sessions) all() []*session {
	t.mu.RLock()
	defer t.mu.RUnlock()
	list := make([]*session, 0, len(t.byID))
	for _, s := range t.byID {
		list = append(list, s)
	}
	return list
}

// empty gives a channel that is closed when no connection is left. Only one goroutine may call
// it.
func (t *sessions) empty() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	gone := make(chan struct{})
	if len(t.byID) == 0 {
		close(gone)
		return gone
	}
	t.gone = gone
	return gone
}
