package logic

import (
	"context"

	"gannet/internal/hop"
	"gannet/protocol"
)

// history answers HISTORY with a page of messages.
func (s *Service) history(ctx context.Context, id *hop.Query, f protocol.Frame) ([]byte, protocol.Code) {
	var q protocol.History
	if q.Decode(f.Payload) != nil {
		return nil, protocol.CodeBadPayload
	}
	if q.Direction != protocol.Forward && q.Direction != protocol.Backward {
		return nil, protocol.CodeBadRequest
	}
	if code := s.maySee(ctx, id.User, q.Target); code != 0 {
		return nil, code
	}
	frame := protocol.Messages{Target: q.Target}
	out := frame.AppendFrame(nil, f.Request)
	page := Page{
		Conversation: q.Target.Conversation(id.User),
		From:         q.Seq,
		Backward:     q.Direction == protocol.Backward,
		Limit:        pageLimit(q.Limit),
		Room:         protocol.MaxFrame - (len(out) - frameLength),
	}
	if !s.page(ctx, &page) {
		return nil, protocol.CodeUnavailable
	}
	frame.First, frame.Last, frame.Head, frame.Count = page.First, page.Last, page.Head, uint16(page.Count)
	return frame.Finish(append(out, page.Items...), 0), 0
}

// frameLength is the size of the length field of a frame, which does not count itself.
const frameLength = 4

// page reads and checks a page. It returns false if that failed.
func (s *Service) page(ctx context.Context, page *Page) bool {
	err := s.History.Pages(ctx, []*Page{page})
	if err == nil {
		err = page.Err
	}
	if err != nil {
		if s.troubles.read.Note() {
			s.Logger.Warn("logic: history could not be read", "conversation", page.Conversation, "error", err)
		}
		return false
	}
	if fault := page.fault(); fault != "" {
		if s.troubles.page.Note() {
			s.Logger.Error("logic: a page of history cannot be sent on", "conversation", page.Conversation, "first", page.First, "last", page.Last, "why", fault)
		}
		return false
	}
	return true
}

// Redeliver implements gateway.Logic: it gives the PUSH frames of a range, oldest
// first, as many as fit into MaxFrame bytes; what is left waits for the next time.
// The messages of the device itself are left out: it never gets them as a push.
func (s *Service) Redeliver(ctx context.Context, again *hop.Redelivery) ([]byte, error) {
	if nobody(again.Identity) {
		return nil, s.badQuery(again.Identity)
	}
	if again.First > again.Last || again.Last == 0 {
		return nil, nil
	}
	switch s.maySee(ctx, again.User, again.Target) {
	case 0:
	case protocol.CodeUnavailable:
		return nil, ErrUnavailable
	default:
		return nil, nil // there is nothing for this user to see
	}
	page := Page{
		Conversation: again.Target.Conversation(again.User),
		From:         again.First, To: again.Last,
		Limit: protocol.MaxPage,
		Room:  protocol.MaxFrame,
	}
	if !s.page(ctx, &page) {
		return nil, ErrUnavailable
	}
	var out []byte
	for items := page.Items; len(items) > 0; {
		message, rest, _ := nextItem(items)
		items = rest
		var m protocol.Message
		_ = m.Decode(message) // page has looked at all of them
		if m.Sender == again.User && m.Device == again.Device {
			continue
		}
		if len(out) > 0 && len(out)+protocol.HeaderSize+len(message) > protocol.MaxFrame {
			break
		}
		out = protocol.Frame{Type: protocol.TypePush, Payload: message}.Append(out)
	}
	return out, nil
}
