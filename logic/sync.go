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
	frame := protocol.Synced{After: q.After}
	out := frame.AppendFrame(nil, f.Request)
	room := protocol.MaxFrame - (len(out) - frameLength)
	page, err := s.Inbox.Changed(ctx, InboxQuery{
		User: id.User, Device: id.Device,
		Since: q.Since, Unacked: q.Unacked, After: q.After,
		Limit: pageLimit(q.Limit), Room: room,
	})
	if err != nil {
		s.counters.readFailed.Add(1)
		s.Logger.Warn("logic: an inbox could not be read", "user", id.User, "error", err)
		return nil, protocol.CodeUnavailable
	}
	start := len(out)
	for i := range page.States {
		out = page.States[i].Append(out)
	}
	if len(page.States) > pageLimit(q.Limit) || len(out)-start > room {
		s.counters.badReads.Add(1)
		s.Logger.Error("logic: a page of an inbox is damaged", "user", id.User)
		return nil, protocol.CodeUnavailable
	}
	frame.Next, frame.More, frame.After, frame.Count = page.Next, page.More, page.After, uint16(len(page.States))
	return frame.Finish(out, 0), 0
}
