package view

import (
	"context"

	"gannet/internal/chain"
)

// clearAll removes all that the view of a queue has but its state. It gives how many keys there
// were.
func (w *Writer) clearAll(ctx context.Context) (keys int, err error) {
	of := w.key[:len(w.key)-1] // what all keys of the queue begin with, those of transfer too
	for _, kind := range []string{"c", "u"} {
		n, err := w.view.client.Remove(ctx, of+kind, "")
		if keys += n; err != nil {
			return keys, err
		}
	}
	return keys, nil
}

// Empty removes the view of a queue if its mark lies before first, the first record that the
// queue still has: from there nobody can bring it forward, so nobody writes it either, and
// once it is empty its owner makes it anew. It gives how many keys there were; 0 says that
// the view is empty, or not behind.
func (w *Writer) Empty(ctx context.Context, first int64) (keys int, err error) {
	s, err := w.State(ctx)
	if err != nil || s.Mark == chain.Beginning || s.Mark.Offset >= first {
		return 0, err
	}
	if keys, err = w.clearAll(ctx); err != nil {
		return keys, err
	}
	// The state goes last: until then the view is behind, whatever comes between.
	return keys + 1, w.view.client.Unlink(ctx, w.key).Err()
}
