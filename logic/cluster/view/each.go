package view

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"gannet/internal/redis"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// errMoved says that Redis was another one at the end than in the beginning.
var errMoved = errors.New("view: Redis changed while all conversations were read")

// Each hands all conversations of a confirmed and complete view to take, some at a time, each as it
// is at one moment of the call. One may come twice, and a Damaged one comes as Load gives it, also
// if its key is gone and only an inbox names it. Each goes through all keys of Redis twice, so it
// is for rare work. Any number of goroutines may call it.
func (w *Writer) Each(ctx context.Context, take func([]*ledger.Loaded) error) error {
	return w.each(ctx, w.whole, take)
}

// All is Each for a view that nobody writes: the view must be complete, but need not be confirmed.
func (w *Writer) All(ctx context.Context, take func([]*ledger.Loaded) error) error {
	return w.each(ctx, w.complete, take)
}

func (w *Writer) each(ctx context.Context, whole func(context.Context) ([]string, error), take func([]*ledger.Loaded) error) error {
	before, err := whole(ctx)
	if err != nil {
		return err
	}
	if err = w.eachKey(ctx, take); err == nil {
		err = w.eachAbsent(ctx, take)
	}
	if err != nil {
		return w.view.unavailable("all conversations of a queue cannot be read", err)
	}
	if after, err := whole(ctx); err != nil || !slices.Equal(before, after) {
		return w.view.unavailable("all conversations of a queue cannot be read", errors.Join(errMoved, err))
	}
	return nil
}

// eachKey hands all conversations that have a key to take.
func (w *Writer) eachKey(ctx context.Context, take func([]*ledger.Loaded) error) error {
	of := w.base() + "c"
	return w.view.client.EachKey(ctx, of, func(keys []string) error {
		list := make([]*ledger.Loaded, 0, len(keys))
		for _, key := range keys {
			list = w.appendPlaced(list, key[len(of):])
		}
		return w.loaded(ctx, list, take)
	})
}

// eachAbsent hands all conversations to take that an inbox names and that have no key.
func (w *Writer) eachAbsent(ctx context.Context, take func([]*ledger.Loaded) error) error {
	of := w.base() + "u"
	return w.view.client.EachKey(ctx, of, func(keys []string) error {
		var parts []inboxPart
		for _, key := range keys {
			if user := key[len(of):]; len(user) == 8 {
				parts = append(parts, inboxPart{user, "-"})
			} else {
				w.view.troubles.damaged.Count()
			}
		}
		for len(parts) > 0 {
			list, further, err := w.absent(ctx, parts)
			if err == nil {
				err = w.loaded(ctx, list, take)
			}
			if err != nil {
				return err
			}
			parts = further
		}
		return nil
	})
}

// inboxPart is from where an inbox is looked through: its user's id as in keys, and a bound of
// ZRANGEBYLEX.
type inboxPart struct{ user, behind string }

// absent gives the conversations that parts of inboxes name and that have no key, and the parts to
// look at next.
func (w *Writer) absent(ctx context.Context, parts []inboxPart) (list []*ledger.Loaded, further []inboxPart, err error) {
	calls := make([]redis.Call, len(parts))
	for i, p := range parts {
		calls[i] = redis.Call{Script: absent, Keys: []string{w.key}, Args: []any{p.user, p.behind, maxLooked}}
	}
	answers, err := run(ctx, w.view.client, calls...)
	for i, a := range answers {
		for j := 2; j < len(a); j++ {
			list = w.appendPlaced(list, a.text(j))
		}
		if upto := a.text(1); upto != "" {
			further = append(further, inboxPart{parts[i].user, "(" + upto})
		}
	}
	return list, further, err
}

// base is what all keys of the queue begin with, those of transfer too.
func (w *Writer) base() string { return w.key[:len(w.key)-1] }

// appendPlaced appends the conversation of a place. No record of a conversation has a key that is
// not of one.
func (w *Writer) appendPlaced(list []*ledger.Loaded, place string) []*ledger.Loaded {
	c, err := readPlace(place)
	if err != nil {
		w.view.troubles.damaged.Count()
		return list
	}
	return append(list, &ledger.Loaded{Key: c})
}

// loaded loads conversations and hands them to take, but for those that are not there, such as one
// that only a damaged entry of an inbox names.
func (w *Writer) loaded(ctx context.Context, list []*ledger.Loaded, take func([]*ledger.Loaded) error) error {
	if len(list) == 0 {
		return nil
	}
	if err := w.Load(ctx, list); err != nil {
		return err
	}
	for _, l := range list {
		if l.Err != nil && !Damaged(l.Err) {
			return fmt.Errorf("%v: %w", l.Key, l.Err)
		}
	}
	if list = slices.DeleteFunc(list, func(l *ledger.Loaded) bool { return l.Err == nil && l.Head == 0 }); len(list) == 0 {
		return nil
	}
	return take(list)
}

// whole gives the present runs of Redis if the view is confirmed under them and complete.
func (w *Writer) whole(ctx context.Context) (runs []string, err error) {
	if runs, err = w.view.client.Runs(ctx); err != nil {
		return nil, w.view.unavailable("the masters of Redis cannot be asked", err)
	}
	s, err := w.State(ctx)
	if err == nil && (!s.Confirmed || s.Incomplete) {
		err = w.view.unavailable("all conversations of a queue cannot be read", fmt.Errorf("%w: it is not whole", ErrClosed))
	}
	return runs, err
}

// complete gives the present runs of Redis if the view is complete.
func (w *Writer) complete(ctx context.Context) (runs []string, err error) {
	if runs, err = w.view.client.Runs(ctx); err != nil {
		return nil, w.view.unavailable("the masters of Redis cannot be asked", err)
	}
	s, err := w.State(ctx)
	if err == nil && s.Incomplete {
		err = w.view.unavailable("all conversations of a queue cannot be read", fmt.Errorf("%w: it is not whole", ErrClosed))
	}
	return runs, err
}

// readPlace reads what appendPlace writes.
func readPlace(b string) (c protocol.Conversation, err error) {
	if len(b) != placeSize {
		return c, fmt.Errorf("%w (a place of %d bytes)", errDamaged, len(b))
	}
	c.Kind = protocol.Kind(b[0])
	c.A, c.B = binary.BigEndian.Uint64([]byte(b[1:9])), binary.BigEndian.Uint64([]byte(b[9:]))
	return c, nil
}
