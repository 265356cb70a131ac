package view

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"gannet/internal/redis"
	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

const (
	// maxLooked is how many conversations of a queue one page looks at to find those that
	// changed, so that a user with very many does not hold Redis: a page may be short and
	// still say that more follow.
	maxLooked = 512

	// spare is how many conversations more than its even share a queue is asked for.
	spare = 16
)

// stateSize is what a conversation without a message takes in a page.
var stateSize = len(protocol.State{}.Append(nil))

// found is a conversation of a page.
type found struct {
	queue  int // as in Options.Queues
	target protocol.Target
	fields answer
	state  protocol.State
	loaded ledger.Loaded
	last   string        // the newest message as it is kept
	own    ledger.Member // of the user
}

// Changed implements logic.Inbox.
func (v *View) Changed(ctx context.Context, q logic.InboxQuery) (logic.InboxPage, error) {
	page, err := v.changed(ctx, &q)
	if err != nil {
		return logic.InboxPage{}, v.unavailable("an inbox cannot be read", err)
	}
	return page, nil
}

func (v *View) changed(ctx context.Context, q *logic.InboxQuery) (page logic.InboxPage, err error) {
	since, given := v.stampOf(q.Since)
	next, err := v.lowest(ctx, since)
	if err != nil {
		return page, err
	}
	if !given || since > next {
		since = 0
	}
	page = logic.InboxPage{Next: v.since(next), After: q.After}
	mask, err := v.mask(ctx, q.User)
	if err != nil {
		return page, err
	}
	parts, err := v.slices(ctx, q, since, mask)
	if err != nil {
		return page, err
	}
	if !mask.whole && q.After == (protocol.Target{}) {
		v.note(ctx, q.User, mask, parts)
	}
	list, horizon, more, err := merge(mask.queues, parts)
	if err != nil {
		return page, err
	}
	v.fillPage(ctx, q, &page, list)
	if !page.More {
		if !zero(horizon) {
			page.After = horizon
		}
		page.More = more
	}
	return page, nil
}

func zero(t protocol.Target) bool { return t == protocol.Target{} }

// compare is the order of targets in a page.
func compare(a, b protocol.Target) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
}

// slices reads what the queues of the mask have of the page, in one pipeline.
func (v *View) slices(ctx context.Context, q *logic.InboxQuery, since uint64, m masked) ([]answer, error) {
	behind := []byte("-")
	if !zero(q.After) {
		behind = appendTarget([]byte("("), q.After)
	}
	unacked := ""
	if q.Unacked {
		unacked = "1"
	}
	want := min(q.Limit+1, q.Limit/max(len(m.queues), 1)*2+spare)
	calls := make([]redis.Call, len(m.queues))
	for i, queue := range m.queues {
		calls[i] = redis.Call{Script: slice, Keys: []string{v.keys[queue]}, Args: []any{
			number(q.User), behind, max(maxLooked, want), want, since, number(q.Device), unacked,
		}}
	}
	parts, err := run(ctx, v.client, calls...)
	if err != nil {
		err = fmt.Errorf("user %d: %w", q.User, err)
	}
	return parts, err
}

// note makes the mask whole when all queues were looked through under the same masters.
func (v *View) note(ctx context.Context, user uint64, m masked, answers []answer) {
	var with []int
	for i, a := range answers {
		if a.text(1) != answers[0].text(1) {
			return
		}
		if a.text(2) != "" || a.number(3) == 1 {
			with = append(with, m.queues[i])
		}
	}
	v.complete(ctx, user, m, answers[0].text(1), with)
}

// merge gives the conversations of all slices in order, up to the horizon: the point up to which
// every slice was looked through. If no slice goes on, that is the last target that was looked at.
func merge(queues []int, parts []answer) (list []*found, horizon protocol.Target, more bool, err error) {
	var last protocol.Target
	for _, a := range parts {
		var upto protocol.Target
		if s := a.text(2); s != "" {
			if upto, err = readTarget(s); err != nil {
				return nil, upto, false, err
			}
		}
		if compare(upto, last) > 0 {
			last = upto
		}
		if a.number(3) == 1 && (!more || compare(upto, horizon) < 0) {
			horizon, more = upto, true
		}
	}
	if !more {
		horizon = last
	}
	for i, a := range parts {
		for j := 4; j < len(a); j++ {
			f := &found{queue: queues[i], fields: a.list(j).list(1)}
			if f.target, err = readTarget(a.list(j).text(0)); err != nil {
				return nil, horizon, false, err
			}
			if compare(f.target, horizon) <= 0 {
				list = append(list, f)
			}
		}
	}
	slices.SortFunc(list, func(x, y *found) int { return compare(x.target, y.target) })
	return list, horizon, more, nil
}

// fillPage makes the states of a page, as many as fit.
func (v *View) fillPage(ctx context.Context, q *logic.InboxQuery, page *logic.InboxPage, list []*found) {
	room := q.Room
	told := make(map[int]bool)
	taken := list[:0]
	for _, f := range list {
		if len(taken) == q.Limit {
			page.More = true
			break
		}
		if err := f.read(q); err != nil {
			v.damaged(ctx, q.User, f, told, "a conversation is left out of an inbox", err)
			continue
		}
		if err := f.preview(); err != nil {
			v.damaged(ctx, q.User, f, told, "a newest message cannot be read", err)
		}
		if room -= stateSize + len(f.state.Last); room < 0 && len(taken) > 0 {
			page.More = true
			break
		}
		taken = append(taken, f)
	}
	v.count(ctx, q.User, taken)
	for _, f := range taken {
		page.States = append(page.States, f.state)
		page.After = f.target
	}
}

// damaged counts and logs a conversation of an inbox that cannot be read, and leaves a note for the
// owner of its queue, who looks once a second. told has the queues that got a note for this page
// already. The inbox is answered without what cannot be read. Once that is back it has a new stamp,
// so whoever asks what changed gets it.
func (v *View) damaged(ctx context.Context, user uint64, f *found, told map[int]bool, what string, err error) {
	key := f.target.Conversation(user)
	if v.troubles.damaged.Note() {
		v.options.Log.Error("view: "+what, "user", user, "conversation", key, "err", err.Error())
	}
	if told[f.queue] {
		return
	}
	told[f.queue] = true
	ctx, cancel := v.client.Within(ctx)
	defer cancel()
	// An error leaves it to the next who asks.
	_ = v.client.HSet(ctx, v.keys[f.queue], "d", appendPlace(nil, key)).Err()
}

// read makes the state of a conversation as the user sees it, but for its newest message and
// what is unread.
func (f *found) read(q *logic.InboxQuery) (err error) {
	key := f.target.Conversation(q.User)
	f.loaded.Key = key
	if f.last, err = readConversation(f.fields, &f.loaded, false); err != nil {
		return err
	}
	c := &f.loaded
	if c.Head == 0 {
		return fmt.Errorf("%w (nothing is there)", errDamaged)
	}
	if f.own = member(c, q.User); f.own.Read > 0 && !f.own.Counted {
		f.remembered()
	}
	f.state = protocol.State{Target: f.target, Head: c.Head, Delivered: f.own.Delivered, Read: f.own.Read}
	for i := range c.Devices {
		if d := &c.Devices[i]; d.User == q.User && d.Device == q.Device {
			f.state.Acked = d.Acked
		}
	}
	if key.Kind == protocol.KindDirect {
		peer := member(c, f.target.ID)
		f.state.PeerDelivered, f.state.PeerRead = peer.Delivered, peer.Read
	}
	return nil
}

func (f *found) preview() (err error) {
	f.state.Last, f.state.LastSize, err = readLast(f.last, &f.loaded.Progress)
	return err
}

// member gives the cursors of a user; what the user's devices have acked is delivered.
func member(c *ledger.Loaded, user uint64) ledger.Member {
	m := ledger.Member{User: user}
	for i := range c.Members {
		if c.Members[i].User == user {
			m = c.Members[i]
		}
	}
	for i := range c.Devices {
		if d := &c.Devices[i]; d.User == user {
			m.Delivered = max(m.Delivered, d.Acked)
		}
	}
	return m
}

var _ logic.Inbox = (*View)(nil)
