package logic

import (
	"context"
	"time"

	"gannet/protocol"
)

// syncOverlap is how far SYNCED.Next lies in the past. A change gets its time
// before it is durable and so visible, and the clocks of two servers differ a
// little: what changed within the overlap is reported once more rather than
// missed. A commit that takes longer than this is a failure.
const syncOverlap = 5 * time.Second

// maxLooked is how many conversations one SYNC looks at to find those that
// changed, so that a user with very many does not hold a worker: a page may be
// short and still say that more follow.
const maxLooked = 4096

// sync answers SYNC with a page of conversations.
func (s *Service) sync(ctx context.Context, req *protocol.Request) ([]byte, protocol.Code) {
	var q protocol.Sync
	if q.Decode(req.Frame.Payload) != nil {
		return nil, protocol.CodeBadPayload
	}
	page := protocol.Synced{Next: uint64(s.Now().Add(-syncOverlap).UnixMilli()), After: q.After}
	out := page.AppendFrame(nil, req.Frame.Request)
	limit := pageLimit(q.Limit)
	looked := 0
	var failed error
	err := s.Inbox.Conversations(ctx, req.User, q.After, func(sum Summary) bool {
		if looked == maxLooked {
			page.More = true
			return false
		}
		looked++
		target := sum.Conversation.Target(req.User)
		if sum.Changed < q.Since {
			page.After = target
			return true
		}
		if int(page.Count) == limit {
			page.More = true
			return false
		}
		var state protocol.State
		if state, failed = s.state(ctx, req.User, target, &sum); failed != nil {
			return false
		}
		longer := state.Append(out)
		if len(longer)-frameLength > protocol.MaxFrame {
			page.More = true
			return false
		}
		out = longer
		page.Count++
		page.After = target
		return true
	})
	if err != nil || failed != nil {
		return nil, protocol.CodeUnavailable
	}
	return page.Finish(out, 0), 0
}

// state gives a conversation as the user sees it.
func (s *Service) state(ctx context.Context, user uint64, target protocol.Target, sum *Summary) (protocol.State, error) {
	positions, err := s.Cursors.Positions(ctx, sum.Conversation, []uint64{user, target.ID}, make([]Position, 0, 2))
	if err != nil {
		return protocol.State{}, err
	}
	// The cursors are read after the head and may be ahead of it by now.
	own, peer := positions[0].upTo(sum.Head), positions[1].upTo(sum.Head)
	return protocol.State{
		Target:        target,
		Head:          sum.Head,
		Delivered:     own.Delivered,
		Read:          own.Read,
		PeerDelivered: peer.Delivered,
		PeerRead:      peer.Read,
		Unread:        sum.Head - own.Read,
		Last:          sum.Last,
	}, nil
}

func (p Position) upTo(head uint64) Position {
	return Position{Delivered: min(p.Delivered, head), Read: min(p.Read, head)}
}
