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

// Recent gives the head of a conversation, if its queue is this node's, and those of its newest
// messages in memory whose seqs lie between from and to. A page of messages is complete if the
// older ones come from the history and reach Before. An error means that this node does not know. A
// caller that knows of a message from the view, and asks from its seq on, never gets a head below
// it.
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

// nothingAbove returns nil if the view, too, has nothing of a conversation above a head. The view
// has a record a moment before this node shows it, and it may have records of another node that
// took the queue over. A caller that asks for messages above the head mostly knows of them from the
// view, so it must not be told that they do not exist.
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

// errForgotten says that what was asked for is not in memory, or not any more.
var errForgotten = errors.New("owner: it is not in memory")

// Counts gives how many messages of a conversation count up to a seq, and how many of those the
// user sent, if the queue is this node's. It looks in memory only. An error means that this node
// does not know.
func (o *Owner) Counts(c protocol.Conversation, user, seq uint64) (count, own uint64, err error) {
	t, err := o.termOf(c)
	if err != nil {
		return 0, 0, err
	}
	count, own, ok := t.tail.counts(c, user, seq)
	if !ok {
		return 0, 0, errForgotten
	}
	return count, own, nil
}
