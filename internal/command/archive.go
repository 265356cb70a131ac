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

// archive puts ClickHouse and the memory of the queues' owner together, in the words of
// each: it is what owners, the view and readers know of conversations beyond Redis.
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

// owner gives where the owner of the queues of a class is. An Owner works from the moment
// in which it is made, and what it asks comes back to it before it is known here.
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
		kept[i] = history.Kept{Seq: m.Seq, Previous: m.Previous, N: m.N, Own: m.Own, Payload: m.Payload}
	}
	return history.Recent{Head: r.Head, First: r.First, Before: r.Before, Messages: kept}, nil
}

// CountsAt implements view.Counts.
func (a *archive) CountsAt(ctx context.Context, counts []*view.Count) error {
	asked := make([]history.Count, len(counts))
	list := make([]*history.Count, len(counts))
	for i, c := range counts {
		asked[i] = history.Count{Conversation: c.Conversation, User: c.User, Seq: c.Seq}
		list[i] = &asked[i]
	}
	if err := a.reader.CountsAsOf(ctx, list); err != nil {
		return err
	}
	for i, c := range counts {
		c.Count, c.Own, c.Bounds, c.Err = asked[i].Count, asked[i].Own, asked[i].Bounds, asked[i].Err
	}
	return nil
}

// learn is view.Options.Learn.
func (a *archive) learn(key protocol.Conversation, user, read, count, own uint64) {
	if of := a.owner(classOf(key.Kind)).Load(); of != nil {
		of.Learn(key, user, read, count, own)
	}
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
	most, _, err := a.store.Marks(ctx, queue)
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
