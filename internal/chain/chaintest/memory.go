package chaintest

import (
	"context"
	"slices"
	"sync"

	"gannet/internal/chain"
)

// Memory is a broker in memory, with hooks for tests. What it has is durable at once.
type Memory struct {
	// Before is called before a record is appended. It may append other records, and an error
	// from it makes the append fail. After is called when the record is in the queue. An error
	// from it is given to the caller instead of the offset. Both are called concurrently and must
	// be set before anything is appended; nil does nothing.
	Before, After func(ctx context.Context, queue chain.Queue, body []byte) error

	mu      sync.Mutex
	changed chan struct{} // closed with each change
	queues  map[chain.Queue][][]byte
	first   map[chain.Queue]int64
}

var _ chain.Stream = (*Memory)(nil)

// NewMemory makes an empty broker.
func NewMemory() *Memory {
	return &Memory{changed: make(chan struct{}), queues: map[chain.Queue][][]byte{}, first: map[chain.Queue]int64{}}
}

// Clone gives a new broker with the same contents, but without the hooks.
func (m *Memory) Clone() *Memory {
	c := NewMemory()
	m.mu.Lock()
	defer m.mu.Unlock()
	for q, bodies := range m.queues {
		c.queues[q], c.first[q] = slices.Clone(bodies), m.first[q]
	}
	return c
}

// Put appends without hooks.
func (m *Memory) Put(queue chain.Queue, body []byte) (offset int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queues[queue] = append(m.queues[queue], body)
	close(m.changed)
	m.changed = make(chan struct{})
	return int64(len(m.queues[queue])) - 1
}

// Age removes the records before the offset, as the retention of a broker does.
func (m *Memory) Age(queue chain.Queue, before int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.first[queue] = before
}

// Cut removes the records from the offset on, as a power cut does.
func (m *Memory) Cut(queue chain.Queue, from int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queues[queue] = slices.Clone(m.queues[queue][:from])
}

// All gives all records ever put into a queue, even those that Age removed. Cut records are gone.
func (m *Memory) All(queue chain.Queue) [][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.queues[queue])
}

// Append implements chain.Stream.
func (m *Memory) Append(ctx context.Context, queue chain.Queue, body []byte) (int64, error) {
	if ctx.Err() != nil {
		return 0, chain.ErrRefused
	}
	if m.Before != nil {
		if err := m.Before(ctx, queue, body); err != nil {
			return 0, err
		}
	}
	offset := m.Put(queue, body)
	if m.After != nil {
		if err := m.After(ctx, queue, body); err != nil {
			return 0, err
		}
	}
	return offset, nil
}

// Bounds implements chain.Stream.
func (m *Memory) Bounds(_ context.Context, queue chain.Queue) (first, end int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.first[queue], int64(len(m.queues[queue])), nil
}

// Pull implements chain.Stream.
func (m *Memory) Pull(ctx context.Context, queue chain.Queue, from int64, limit int) (stored []chain.Stored, err error) {
	for {
		m.mu.Lock()
		first, all, changed := m.first[queue], m.queues[queue], m.changed
		m.mu.Unlock()
		switch end := int64(len(all)); {
		case from < first:
			return nil, chain.ErrRetention
		case from > end:
			return nil, chain.ErrLagging
		case from < end:
			for i := from; i < min(end, from+int64(limit)); i++ {
				stored = append(stored, chain.Stored{Offset: i, Body: all[i]})
			}
			return stored, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
