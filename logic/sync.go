package logic

import (
	"context"

	"gannet/internal/hop"
	"gannet/protocol"
)

// sync answers SYNC with a page of conversations.
func (s *Service) sync(ctx context.Context, id *hop.Query, f protocol.Frame) ([]byte, protocol.Code) {
	var q protocol.Sync
	if q.Decode(f.Payload) != nil {
		return nil, protocol.CodeBadPayload
	}
	ask := InboxQuery{
		User: id.User, Device: id.Device,
		Since: q.Since, Unacked: q.Unacked, After: q.After,
		Limit: pageLimit(q.Limit), Room: syncedRoom,
	}
	page, err := s.Inbox.Changed(ctx, ask)
	if err != nil {
		if s.troubles.read.Note() {
			s.Logger.Warn("logic: an inbox could not be read", "user", id.User, "error", err)
		}
		return nil, protocol.CodeUnavailable
	}
	if fault := page.fault(&ask); fault != "" {
		return nil, s.badInbox(&ask, fault)
	}
	frame := protocol.Synced{Next: page.Next, More: page.More, After: page.After, Count: uint16(len(page.States))}
	out := frame.AppendFrame(nil, f.Request)
	for i := range page.States {
		out = page.States[i].Append(out)
	}
	if len(out)-frameLength > protocol.MaxFrame {
		return nil, s.badInbox(&ask, "more than was asked for")
	}
	return frame.Finish(out, 0), 0
}

func (s *Service) badInbox(q *InboxQuery, why string) protocol.Code {
	if s.troubles.page.Note() {
		s.Logger.Error("logic: a page of an inbox cannot be sent on", "user", q.User, "why", why)
	}
	return protocol.CodeUnavailable
}

// syncedRoom is how many bytes conversations may take in a SYNCED frame.
var syncedRoom = protocol.MaxFrame - (len(protocol.Synced{}.AppendFrame(nil, 0)) - frameLength)
