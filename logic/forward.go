package logic

import (
	"context"

	"gannet/protocol"
)

// Forward carries out one batch of a write lane (SEND, PUSHACK, READ) in order
// and appends the replies.
func (s *Service) Forward(ctx context.Context, lane int, batch []protocol.Request, replies []protocol.Reply) []protocol.Reply {
	for i := range batch {
		r := &batch[i]
		replies = append(replies, protocol.Reply{Conn: r.Conn, Bytes: failure(nil, r.Frame.Request, protocol.CodeUnavailable)})
	}
	return replies
}

// Query answers one frame of a read lane (SYNC, HISTORY, TypeRedeliver).
func (s *Service) Query(ctx context.Context, req protocol.Request) protocol.Reply {
	return protocol.Reply{Conn: req.Conn, Bytes: failure(nil, req.Frame.Request, protocol.CodeUnavailable)}
}
