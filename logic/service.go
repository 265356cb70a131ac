// Package logic has the rules of gannet: who may log in, what a message is and
// which seq it gets, who may read what. It reaches everything else through the
// ports in ports.go.
package logic

import (
	"context"
	"time"

	"gannet/protocol"
)

// Config has what a Service works with. Everything but Now is required.
type Config struct {
	Log       Log
	History   History
	Inbox     Inbox
	Cursors   Cursors
	Directory Directory
	Gateways  Gateways
	Verifier  Verifier
	Now       func() time.Time // nil: time.Now
}

// Service answers the frames of clients. It keeps no state between calls; its
// methods may be called concurrently.
type Service struct {
	Config
}

// New makes a Service.
func New(config Config) *Service {
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Service{Config: config}
}

// Query answers one frame of a read lane: SYNC, HISTORY, or TypeRedeliver, whose
// answer is the PUSH frames themselves and may be empty. The payload is not kept.
func (s *Service) Query(ctx context.Context, req protocol.Request) protocol.Reply {
	var out []byte
	var code protocol.Code
	switch req.Frame.Type {
	case protocol.TypeSync:
		out, code = s.sync(ctx, &req)
	case protocol.TypeHistory:
		out, code = s.history(ctx, &req)
	case protocol.TypeRedeliver:
		out = s.redeliver(ctx, &req)
	default:
		code = protocol.CodeUnknownType
	}
	if code != 0 {
		out = failure(nil, req.Frame.Request, code)
	}
	return protocol.Reply{Conn: req.Conn, Bytes: out}
}

// addressable says whether users have conversations under such a target: direct
// ones, with any user, themselves included. Whoever addresses a direct
// conversation is one of its two users, so nobody reaches one of others.
func addressable(t protocol.Target) bool {
	return t.Kind == protocol.KindDirect && t.ID != 0
}

// pageLimit gives how many items a page may have for the limit that was asked.
func pageLimit(asked uint16) int {
	if asked == 0 || asked > protocol.MaxPage {
		return protocol.MaxPage
	}
	return int(asked)
}

// retryAfter is what a client is told to wait after a store did not answer, in
// milliseconds: long enough for a disk or a fail-over to breathe, short enough
// that a person does not notice.
const retryAfter = 200

// failure encodes an ERROR frame at the end of dst.
func failure(dst []byte, request uint32, code protocol.Code) []byte {
	f := protocol.Failure{Code: code}
	if code == protocol.CodeUnavailable {
		f.RetryAfter = retryAfter
	}
	return f.AppendError(dst, request)
}
