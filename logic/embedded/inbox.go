package embedded

import (
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// maxLooked is how many conversations one query looks at to find those that
// changed, so that a user with very many does not hold a worker: a page may be
// short and still say that more follow.
const maxLooked = 4096

// stateSize is what a conversation without a message takes in a page.
var stateSize = len(protocol.State{}.Append(nil))

// Changed implements logic.Inbox.
func (s *Store) Changed(ctx context.Context, q logic.InboxQuery) (logic.InboxPage, error) {
	if err := s.enter(); err != nil {
		return logic.InboxPage{}, err
	}
	defer s.exit()
	page := logic.InboxPage{Next: s.stamps.next(), After: q.After}
	if q.Since > page.Next || q.Since <= s.resync {
		q.Since = 0 // of another store, of this one before it was restored, or before damage hid something
	}
	lower, upper := make([]byte, inboxSize, inboxSize+1), make([]byte, inboxSize, inboxSize+1)
	putInboxKey(lower, q.User, q.After)
	putInboxKey(upper, q.User, protocol.Target{Kind: ^protocol.Kind(0), ID: ^uint64(0)})
	// A key with a byte more is what follows it at once.
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: append(lower, 0), UpperBound: append(upper, 0)})
	if err != nil {
		return page, unavailable(err)
	}
	if err := errors.Join(s.changed(ctx, it, &q, &page), it.Close()); err != nil {
		return logic.InboxPage{}, unavailable(err)
	}
	return page, nil
}

func (s *Store) changed(ctx context.Context, it *pebble.Iterator, q *logic.InboxQuery, page *logic.InboxPage) error {
	looked, room := 0, q.Room
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if looked == maxLooked || len(page.States) == q.Limit {
			page.More = true
			return nil
		}
		looked++
		target := keyTarget(it.Key())
		state, changed, err := s.state(ctx, q, target)
		if err != nil {
			if err := s.leaveOut(ctx, q.User, target, "a conversation is left out of an inbox", err); err != nil {
				return err
			}
			changed = false
		}
		if changed {
			if room -= stateSize + len(state.Last); room < 0 && len(page.States) > 0 {
				page.More = true
				return nil
			}
			page.States = append(page.States, state)
		}
		page.After = target
	}
	return it.Error()
}

// state gives a conversation as the user sees it; changed is false for one that
// the query does not ask for.
func (s *Store) state(ctx context.Context, q *logic.InboxQuery, target protocol.Target) (state protocol.State, changed bool, err error) {
	key := target.Conversation(q.User)
	l := s.queueOf(key).ledger
	var own ledger.Member
	var known bool
	var count, total uint64
	err = l.View(ctx, key, func(v ledger.View) {
		own = v.Member(q.User)
		state = protocol.State{
			Target: target, Head: v.Head, Delivered: own.Delivered, Read: own.Read, Acked: v.Acked(q.User, q.Device),
		}
		if key.Kind == protocol.KindDirect {
			peer := v.Member(target.ID)
			state.PeerDelivered, state.PeerRead = peer.Delivered, peer.Read
		}
		state.Unread, known = v.Unread(own)
		count, total = v.Count, own.Total
		changed = v.Head > 0 && (v.Changed >= q.Since || v.Owes) && !(q.Unacked && state.Acked >= v.Head)
	})
	if err != nil || !changed {
		return state, false, err
	}
	if !known {
		n, by, err := s.countsAt(key, own.User, own.Read)
		if err == nil {
			l.Learn(key, own.User, own.Read, n, by)
			state.Unread = (count - n) - (total - by)
		} else {
			state.Unread = state.Head - state.Read // at most
			if err := s.leaveOut(ctx, q.User, target, "what is unread cannot be counted", err); err != nil {
				return state, false, err
			}
		}
	}
	if state.Last, state.LastSize, err = s.preview(key, state.Head); err != nil {
		state.Last, state.LastSize = nil, 0
		err = s.leaveOut(ctx, q.User, target, "a newest message cannot be read", err)
	}
	return state, true, err
}

// countsAt gives how many messages up to seq count as unread, and how many of
// those are by the user, who is one of the two of a direct conversation or the
// reader of a system one.
func (s *Store) countsAt(key protocol.Conversation, user, seq uint64) (count, own uint64, err error) {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return 0, 0, err
	}
	messages := messagesOf(it, placeOf(key))
	if messages.seekBack(seq) {
		m := messages.message()
		count, own = m.links.count, m.links.own
		if m.Sender != user {
			own = count - own // by the only other one who sends
		}
		if key.Kind != protocol.KindDirect {
			own = 0
		}
	}
	return count, own, errors.Join(messages.err, it.Close())
}

// preview gives the message with its body cut, and the size of the whole body.
func (s *Store) preview(key protocol.Conversation, seq uint64) (last []byte, size uint32, err error) {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return nil, 0, err
	}
	messages := messagesOf(it, placeOf(key))
	if err = messages.find(seq); err == nil {
		m := messages.message().Message
		size = uint32(len(m.Body))
		m.Body = m.Body[:min(len(m.Body), protocol.MaxPreview)]
		last = m.AppendPayload(nil)
	}
	return last, size, errors.Join(err, it.Close())
}
