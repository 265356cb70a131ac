package owner

import (
	"context"
	"errors"
	"fmt"

	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// Recent is the newest messages of a conversation: all from First to Head are in memory,
// durable, and in the view.
type Recent struct {
	Head   uint64 // the highest durable seq, 0: nobody wrote
	First  uint64 // Head + 1: none is in memory
	Before uint64 // the seq of the message before First, 0: there is none

	// Messages has those of them with seqs that were asked for, in rising order.
	Messages []Kept
}

// Recent gives the head of a conversation of a queue that is this node's, and its newest
// messages from from to to that are in memory. A page of messages is complete where what
// is older comes from the history and reaches Before. An error means that nobody here
// knows. Whoever knows of a message by the view, and asks from it on, never hears of a
// head below it.
func (o *Owner) Recent(ctx context.Context, c protocol.Conversation, from, to uint64) (r Recent, err error) {
	t, err := o.termOf(c)
	if err != nil {
		return r, err
	}
	head := uint64(0)
	if err := t.ledger.View(ctx, c, func(v ledger.View) { head = v.Head }); err != nil {
		return r, unavailable(err)
	}
	if from > head {
		if err := t.nothingAbove(ctx, c, head); err != nil {
			return r, unavailable(err)
		}
	}
	return t.tail.recent(c, head, from, to), nil
}

// errAbove says that the view has more of a conversation than is shown here.
var errAbove = errors.New("owner: a message is in the view and not shown yet")

// nothingAbove says whether the view has nothing of a conversation above a head either.
// It has a record a moment before the record is shown here, and of a queue that another
// node has taken over it has what nobody here knows. Who asks for what is above the head
// has been told of it, by the view as a rule, and must not hear that it does not exist.
func (t *term) nothingAbove(ctx context.Context, c protocol.Conversation, head uint64) error {
	loaded := ledger.Loaded{Key: c}
	if err := t.view.Load(ctx, []*ledger.Loaded{&loaded}); err != nil {
		return err
	}
	if loaded.Err != nil {
		return loaded.Err
	}
	if loaded.Head > head {
		t.queue.owner.troubles.above.Count()
		return errAbove
	}
	return nil
}

// termOf gives the term of a conversation's queue that readers may ask.
func (o *Owner) termOf(c protocol.Conversation) (*term, error) {
	q := o.queues[c.Partition()%len(o.queues)]
	t := q.term.Load()
	switch {
	case t == nil:
		return nil, ErrElsewhere
	case !t.fresh():
		return nil, fmt.Errorf("%w: it is not certain that %v is still this node's", logic.ErrUnavailable, q.name)
	}
	return t, nil
}

// Learn is view.Options.Learn: the owner of a queue keeps what was counted.
func (o *Owner) Learn(key protocol.Conversation, user, read, count, own uint64) {
	if t, err := o.termOf(key); err == nil {
		t.ledger.Learn(key, user, read, count, own)
	}
}
