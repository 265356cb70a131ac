package logic

import (
	"context"
	"slices"

	"gannet/protocol"
)

// history answers HISTORY with a page of messages.
func (s *Service) history(ctx context.Context, req *protocol.Request) ([]byte, protocol.Code) {
	var q protocol.History
	if q.Decode(req.Frame.Payload) != nil {
		return nil, protocol.CodeBadPayload
	}
	if !addressable(q.Target) {
		return nil, protocol.CodeBadTarget
	}
	if q.Direction != protocol.Forward && q.Direction != protocol.Backward {
		return nil, protocol.CodeBadRequest
	}
	c := q.Target.Conversation(req.User)
	head, err := s.History.Head(ctx, c)
	if err != nil {
		return nil, protocol.CodeUnavailable
	}

	page := protocol.Messages{Target: q.Target, First: max(q.Seq, 1), Last: head, Head: head}
	backward := q.Direction == protocol.Backward
	if backward {
		page.First = 1
		if q.Seq != 0 {
			page.Last = min(q.Seq, head)
		}
	}
	out := page.AppendFrame(nil, req.Frame.Request)
	found := excerpt{room: protocol.MaxFrame - (len(out) - frameLength), limit: pageLimit(q.Limit)}
	err = s.History.Read(ctx, c, page.First, page.Last, backward, func(seq uint64, message []byte) bool {
		return found.add(seq, message)
	})
	if err != nil {
		return nil, protocol.CodeUnavailable
	}
	if found.full { // the page covers what it came to, else the whole range
		if backward {
			page.First = found.last
		} else {
			page.Last = found.last
		}
	}
	if backward {
		slices.Reverse(found.messages)
	}
	out = slices.Grow(out, found.size)
	for _, m := range found.messages {
		out = protocol.AppendMessage(out, m)
	}
	page.Count = uint16(len(found.messages))
	return page.Finish(out, 0), 0
}

// frameLength is the length field of a frame, which it does not count itself.
const frameLength = 4

// itemOverhead is the length that stands before each item of a page.
const itemOverhead = 4

// excerpt collects the messages of a page, in the order in which they are read.
type excerpt struct {
	room     int // bytes for items
	limit    int // messages
	messages [][]byte
	size     int    // bytes taken
	last     uint64 // seq of the message taken last
	full     bool   // there was one more
}

// add copies a message, unless the page is full. The first one always fits: a
// message with a body of MaxBody leaves most of the 4 KiB around it free.
func (x *excerpt) add(seq uint64, message []byte) bool {
	size := itemOverhead + len(message)
	if len(x.messages) == x.limit || x.size+size > x.room {
		x.full = true
		return false
	}
	x.size += size
	x.messages = append(x.messages, slices.Clone(message))
	x.last = seq
	return true
}

// redeliver answers TypeRedeliver with the PUSH frames of a range, oldest first,
// as many as fit into MaxFrame bytes; what is left waits for the next time. The
// messages of the device itself are left out: it never gets them as a push. A
// range that cannot be read gives nothing: the pushes still wait for an ack.
func (s *Service) redeliver(ctx context.Context, req *protocol.Request) []byte {
	var q protocol.Range
	if q.Decode(req.Frame.Payload) != nil || !addressable(q.Target) {
		return nil
	}
	var out []byte
	var m protocol.Message
	s.History.Read(ctx, q.Target.Conversation(req.User), q.First, q.Last, false, func(_ uint64, message []byte) bool {
		if m.Decode(message) != nil {
			return false
		}
		if m.Sender == req.User && m.Device == req.Device {
			return true
		}
		if len(out)+protocol.HeaderSize+len(message) > protocol.MaxFrame {
			return false
		}
		out = protocol.Frame{Type: protocol.TypePush, Payload: message}.Append(out)
		return true
	})
	return out
}
