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
	target  protocol.Target
	fields  answer
	state   protocol.State
	loaded  ledger.Loaded
	count   *Count // what has to be counted first
	counted ledger.Member
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
	list, horizon, more, err := merge(parts)
	if err != nil {
		return page, err
	}
	if err := v.fillPage(ctx, q, &page, list); err != nil {
		return page, err
	}
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
	return run(ctx, v.client, calls...)
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

// merge gives the conversations that lie before the point up to which every slice was
// looked through, in order, and that point: the last that was looked at where no slice
// goes on.
func merge(parts []answer) (list []*found, horizon protocol.Target, more bool, err error) {
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
	for _, a := range parts {
		for j := 4; j < len(a); j++ {
			f := &found{fields: a.list(j).list(1)}
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
func (v *View) fillPage(ctx context.Context, q *logic.InboxQuery, page *logic.InboxPage, list []*found) error {
	room := q.Room
	taken := list[:0]
	for _, f := range list {
		if len(taken) == q.Limit {
			page.More = true
			break
		}
		if err := f.read(q); err != nil {
			return fmt.Errorf("%v of user %d: %w", f.target, q.User, err)
		}
		if room -= stateSize + len(f.state.Last); room < 0 && len(taken) > 0 {
			page.More = true
			break
		}
		taken = append(taken, f)
	}
	if err := v.count(ctx, taken); err != nil {
		return err
	}
	for _, f := range taken {
		page.States = append(page.States, f.state)
		page.After = f.target
	}
	return nil
}

// read makes the state of a conversation as the user sees it, but for what has to be
// counted.
func (f *found) read(q *logic.InboxQuery) error {
	key := f.target.Conversation(q.User)
	f.loaded.Key = key
	last, err := readConversation(f.fields, &f.loaded, false)
	if err != nil {
		return err
	}
	c := &f.loaded
	own := member(c, q.User)
	f.state = protocol.State{Target: f.target, Head: c.Head, Delivered: own.Delivered, Read: own.Read}
	for i := range c.Devices {
		if d := &c.Devices[i]; d.User == q.User && d.Device == q.Device {
			f.state.Acked = d.Acked
		}
	}
	if key.Kind == protocol.KindDirect {
		peer := member(c, f.target.ID)
		f.state.PeerDelivered, f.state.PeerRead = peer.Delivered, peer.Read
	}
	if f.state.Last, f.state.LastSize, err = readLast(last, &c.Progress); err != nil {
		return err
	}
	f.counted = own
	if own.Read > 0 && !own.Counted {
		f.count = &Count{Conversation: key, User: q.User, Seq: own.Read}
		return nil
	}
	return f.unread()
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

// unread works out what the user has not read of what others sent.
func (f *found) unread() error {
	own := &f.counted
	count, total := f.loaded.Count, own.Total
	if own.Read > 0 {
		count, total = count-own.Count, total-own.Own
	}
	if count < total || own.Count > f.loaded.Count || own.Own > own.Total {
		return fmt.Errorf("%w (counts)", errDamaged)
	}
	f.state.Unread = count - total
	return nil
}

// count asks for what nobody has counted yet.
func (v *View) count(ctx context.Context, list []*found) error {
	var counts []*Count
	for _, f := range list {
		if f.count != nil {
			counts = append(counts, f.count)
		}
	}
	if len(counts) == 0 {
		return nil
	}
	if err := v.options.Counts.CountsAt(ctx, counts); err != nil {
		v.troubles.counts.Count()
		return fmt.Errorf("counts: %w", err)
	}
	for _, f := range list {
		c := f.count
		if c == nil {
			continue
		}
		if c.Err != nil {
			v.troubles.counts.Count()
			return fmt.Errorf("counts of %v: %w", f.target, c.Err)
		}
		f.counted.Counted, f.counted.Count, f.counted.Own = true, c.Count, c.Own
		if err := f.unread(); err != nil {
			return err
		}
		if v.options.Learn != nil {
			v.options.Learn(c.Conversation, c.User, c.Seq, c.Count, c.Own)
		}
	}
	return nil
}

var _ logic.Inbox = (*View)(nil)
