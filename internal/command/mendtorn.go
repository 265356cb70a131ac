package command

import (
	"context"
	"errors"

	"gannet/internal/chain"
)

// torn says whether a reader that goes on from the record of from fails to arrive at the record of
// to, although the queue has both records. That happens if other records lie in place of lost ones,
// and an owner that did not read them has built on the lost records.
func (m *mending) torn(ctx context.Context, queue chain.Queue, from, to chain.Mark) (bool, error) {
	if from.Offset >= to.Offset {
		return false, nil
	}
	reader := chain.NewReader(m.stream, queue, from)
	err := reader.ReadTo(ctx, to.Offset+1, func(*chain.Record) error { return nil })
	switch {
	case errors.Is(err, chain.ErrLost), errors.Is(err, chain.ErrTorn):
		return true, nil
	case errors.Is(err, chain.ErrRetention): // which is mended otherwise
		return false, nil
	}
	return err == nil && reader.Last() != to, err
}

// beside says from which marks no reader comes to the end of a loss that was written.
func (m *mending) beside(ctx context.Context, l *loss, marks ...chain.Mark) (map[chain.Mark]bool, error) {
	found, err := m.find(ctx, l.queue, marks...)
	if err != nil {
		return nil, err
	}
	beside := make(map[chain.Mark]bool)
	for _, mark := range marks {
		if beside[mark] = found[mark] == missing; beside[mark] {
			continue
		}
		if beside[mark], err = m.torn(ctx, l.queue, mark, l.given.Mark()); err != nil {
			return nil, err
		}
	}
	return beside, nil
}
