package chain

// NewMemory makes a broker in memory, and gives how its records go because of their age.
func NewMemory() (stream Stream, age func(queue Queue, before int64)) {
	m := newMemory()
	return m, func(queue Queue, before int64) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.first[queue] = before
	}
}
