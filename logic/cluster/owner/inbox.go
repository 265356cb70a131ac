package owner

import (
	"cmp"
	"context"
	"math"
	"slices"

	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// Inbox is logic.Inbox with the acks that wait here laid over what the view says. Those
// that wait at other nodes are seen when they are written, a second later at most.
type Inbox struct {
	Owners []*Owner
	View   logic.Inbox
}

var _ logic.Inbox = (*Inbox)(nil)

// stateSize is what a conversation without a message takes in a page.
var stateSize = len(protocol.State{}.Append(nil))

// Changed implements logic.Inbox.
func (x *Inbox) Changed(ctx context.Context, q logic.InboxQuery) (logic.InboxPage, error) {
	owing := x.owing(q.User) // what is written from here on is in the page
	page, err := x.View.Changed(ctx, q)
	if err != nil || len(owing) == 0 {
		return page, err
	}
	for i := range page.States {
		s := &page.States[i]
		if t := owing[s.Target]; t != nil {
			delete(owing, s.Target)
			t.overlay(ctx, &q, s)
		}
	}
	if q.Unacked {
		page.States = slices.DeleteFunc(page.States, func(s protocol.State) bool { return s.Acked >= s.Head })
		return page, nil
	}
	if q.Since != 0 {
		err = x.add(ctx, &q, &page, owing)
	}
	return page, err
}

// owing gives the conversations of the user in which acks wait, with whose they are.
func (x *Inbox) owing(user uint64) map[protocol.Target]*term {
	var owing map[protocol.Target]*term
	for _, o := range x.Owners {
		for _, q := range o.queues {
			t := q.term.Load()
			if t == nil {
				continue
			}
			for _, k := range t.ledger.Owing(user) {
				if owing == nil {
					owing = make(map[protocol.Target]*term)
				}
				owing[k.Target(user)] = t
			}
		}
	}
	return owing
}

// overlay raises the cursors of a state to what the devices have acked.
func (t *term) overlay(ctx context.Context, q *logic.InboxQuery, s *protocol.State) {
	key := s.Target.Conversation(q.User)
	// View fails only for a conversation that is not in memory. Its acks are written, so the
	// cursors of the view hold.
	_ = t.ledger.View(ctx, key, func(v ledger.View) {
		raise := func(cursor *uint64, to uint64) { *cursor = max(*cursor, min(to, s.Head)) }
		raise(&s.Acked, v.Acked(q.User, q.Device))
		raise(&s.Delivered, v.Member(q.User).Delivered)
		if key.Kind == protocol.KindDirect {
			raise(&s.PeerDelivered, v.Member(s.Target.ID).Delivered)
		}
	})
}

// add adds to a page the conversations that changed only by acks that are not written, because the
// view does not list them yet.
func (x *Inbox) add(ctx context.Context, q *logic.InboxQuery, page *logic.InboxPage, owing map[protocol.Target]*term) error {
	added := false
	for target, t := range owing {
		if compare(target, q.After) <= 0 || page.More && compare(target, page.After) > 0 {
			continue
		}
		one, err := x.View.Changed(ctx, logic.InboxQuery{User: q.User, Device: q.Device, After: before(target), Limit: 1, Room: q.Room})
		if err != nil {
			return err
		}
		if len(one.States) == 1 && one.States[0].Target == target {
			t.overlay(ctx, q, &one.States[0])
			page.States = append(page.States, one.States[0])
			added = true
		}
	}
	if !added {
		return nil
	}
	slices.SortFunc(page.States, func(a, b protocol.State) int { return compare(a.Target, b.Target) })
	if last := page.States[len(page.States)-1].Target; !page.More && compare(last, page.After) > 0 {
		page.After = last
	}
	room := q.Room
	for i := range page.States {
		if room -= stateSize + len(page.States[i].Last); i == q.Limit || room < 0 && i > 0 {
			page.States, page.More = page.States[:i], true
			page.After = page.States[i-1].Target
			break
		}
	}
	return nil
}

// compare is the order of targets in a page.
func compare(a, b protocol.Target) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
}

// before gives the target before another in that order.
func before(t protocol.Target) protocol.Target {
	if t.ID == 0 {
		return protocol.Target{Kind: t.Kind - 1, ID: math.MaxUint64}
	}
	t.ID--
	return t
}
