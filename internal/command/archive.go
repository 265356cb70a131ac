package command

import (
	"context"
	"sync/atomic"

	"gannet/internal/chain"
	"gannet/logic/cluster/history"
	"gannet/logic/cluster/owner"
	"gannet/logic/cluster/view"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// archive connects ClickHouse with the owners on this node, and translates between their types.
// Owners, the view and readers ask it for what Redis does not have of conversations.
type archive struct {
	store  *history.Store
	reader *history.Reader
	feeder *history.Feeder
	queues int                         // of each class
	chat   atomic.Pointer[owner.Owner] // nil: its queues are not asked anything yet
	system atomic.Pointer[owner.Owner]
}

// classOf gives the class of the queues that conversations of a kind are in.
func classOf(kind protocol.Kind) chain.Class {
	if kind == protocol.KindSystem || kind == protocol.KindBroadcast {
		return chain.System
	}
	return chain.Chat
}

// owner gives the place where the owner of the queues of a class is stored. An Owner works from the
// moment it is made, so its first calls may reach the archive before the owner is stored here.
func (a *archive) owner(class chain.Class) *atomic.Pointer[owner.Owner] {
	if class == chain.System {
		return &a.system
	}
	return &a.chat
}

// kindsOf gives the kinds of the conversations in the queues of a class.
func kindsOf(class chain.Class) []protocol.Kind {
	if class == chain.System {
		return []protocol.Kind{protocol.KindSystem, protocol.KindBroadcast}
	}
	return []protocol.Kind{protocol.KindDirect, protocol.KindGroup}
}

// Recent implements history.Tail.
func (a *archive) Recent(ctx context.Context, c protocol.Conversation, from, to uint64) (history.Recent, error) {
	of := a.owner(classOf(c.Kind)).Load()
	if of == nil {
		return history.Recent{}, owner.ErrElsewhere
	}
	r, err := of.Recent(ctx, c, from, to)
	if err != nil {
		return history.Recent{}, err
	}
	kept := make([]history.Kept, len(r.Messages))
	for i, m := range r.Messages {
		kept[i] = history.Kept{Seq: m.Seq, Previous: m.Previous, Linked: m.Linked, N: m.N, Own: m.Own, Payload: m.Payload}
	}
	return history.Recent{Head: r.Head, First: r.First, Before: r.Before, Messages: kept}, nil
}

// Remembered implements view.Counts.
func (a *archive) Remembered(counts []*view.Count) {
	for _, c := range counts {
		c.Err = owner.ErrElsewhere
		if of := a.owner(classOf(c.Conversation.Kind)).Load(); of != nil {
			c.Count, c.Own, c.Err = of.Counts(c.Conversation, c.User, c.Seq)
		}
	}
}

// CountsAt implements view.Counts.
func (a *archive) CountsAt(ctx context.Context, counts []*view.Count) error {
	list := make([]*history.Count, len(counts))
	for i, c := range counts {
		list[i] = (*history.Count)(c)
	}
	return a.reader.CountsAsOf(ctx, list)
}

// Walk implements owner.History.
func (a *archive) Walk(ctx context.Context, walks []*ledger.Walk) error {
	return a.reader.Walk(ctx, walks)
}

// Rebuild implements owner.History.
func (a *archive) Rebuild(ctx context.Context, queue chain.Queue, only []protocol.Conversation, take func(list []view.Whole, done, parts int) error) (mark chain.Mark, err error) {
	which := history.Rebuild{Queue: queue, Queues: a.queues, Kinds: kindsOf(queue.Class), Only: only}
	err = a.store.Rebuild(ctx, which, func(list []history.Whole, p history.Progress) error {
		mark = p.Mark
		whole := make([]view.Whole, len(list))
		for i, w := range list {
			whole[i] = view.Whole{Loaded: w.Loaded, Last: w.Last}
		}
		return take(whole, p.Steps, p.Whole)
	})
	return mark, err
}

// Mark implements owner.History.
func (a *archive) Mark(ctx context.Context, queue chain.Queue) (chain.Mark, error) {
	return a.store.Mark(ctx, queue)
}

// Most implements owner.History.
func (a *archive) Most(ctx context.Context, queue chain.Queue) (chain.Mark, error) {
	most, _, _, err := a.store.Marks(ctx, queue)
	return most, err
}

// behind is history.FeederOptions.Behind.
func (a *archive) behind(queue chain.Queue, at chain.Mark) {
	if of := a.owner(queue.Class).Load(); of != nil {
		of.FeedAgain(queue, at)
	}
}

// feed is owner.Feeder.
type feed struct{ *history.Feeder }

// Add implements owner.Feeder.
func (f feed) Add(fed *owner.Fed) (at chain.Mark, taken bool) {
	return f.Feeder.Add(&history.Fed{
		Queue: fed.Queue, Prev: fed.Prev, Mark: fed.Mark, Version: fed.Version, Oldest: fed.Oldest, Record: fed.Record, Change: fed.Change, States: fed.States, Lost: fed.Lost,
	})
}
