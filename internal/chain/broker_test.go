package chain

import (
	"context"
	"slices"
	"sync"
)

// memory is a broker that does what it is told, with hooks for tests.
type memory struct {
	mu      sync.Mutex
	changed chan struct{} // closed with each change
	queues  map[Queue][][]byte
	first   map[Queue]int64

	// before is called before a record is appended, and may append others or say that
	// this one fails; after is called when it is there, and may say that nobody hears of it.
	before, after func(queue Queue, body []byte) error
	pulls         int
}

func newMemory() *memory {
	return &memory{changed: make(chan struct{}), queues: map[Queue][][]byte{}, first: map[Queue]int64{}}
}

// put appends without hooks.
func (m *memory) put(queue Queue, body []byte) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queues[queue] = append(m.queues[queue], body)
	close(m.changed)
	m.changed = make(chan struct{})
	return int64(len(m.queues[queue])) - 1
}

// cut removes what is at the offset and behind it.
func (m *memory) cut(queue Queue, offset int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queues[queue] = slices.Clone(m.queues[queue][:offset])
}

func (m *memory) Append(ctx context.Context, queue Queue, body []byte) (int64, error) {
	if ctx.Err() != nil {
		return 0, ErrRefused
	}
	if m.before != nil {
		if err := m.before(queue, body); err != nil {
			return 0, err
		}
	}
	offset := m.put(queue, body)
	if m.after != nil {
		if err := m.after(queue, body); err != nil {
			return 0, err
		}
	}
	return offset, nil
}

func (m *memory) Bounds(_ context.Context, queue Queue) (first, end int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.first[queue], int64(len(m.queues[queue])), nil
}

func (m *memory) Pull(ctx context.Context, queue Queue, from int64, limit int) (stored []Stored, err error) {
	for {
		m.mu.Lock()
		m.pulls++
		first, all, changed := m.first[queue], m.queues[queue], m.changed
		m.mu.Unlock()
		switch end := int64(len(all)); {
		case from < first:
			return nil, ErrRetention
		case from > end:
			return nil, ErrLagging
		case from < end:
			for i := from; i < min(end, from+int64(limit)); i++ {
				stored = append(stored, Stored{Offset: i, Body: all[i]})
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
