// Package logic has the rules of gannet: who may log in, what a message is and
// which seq it gets, who may read what. It reaches everything else through the
// ports in ports.go.
//
// A batch of SEND, PUSHACK and READ frames goes through forward.go (frames to entries), access.go
// (who may), the Log (ledger and store), reply.go (outcomes to answers) and receipt.go. Everything
// runs on the goroutine of the caller. The results of the ports are checked before they are used:
// pages.go, troubles.go.
package logic

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"gannet/internal/hop"
	"gannet/protocol"
)

// Config has what a Service works with. Everything but Now and Logger is
// required.
type Config struct {
	Log       Log
	History   History
	Inbox     Inbox
	Social    Social
	Receipts  Receipts
	Directory Directory
	Gateways  Gateways
	Tokens    Tokens

	Queues int    // of the log; a conversation's queue is its partition mod Queues
	Server []byte // identity of the store, for WELCOME

	MaxSessions int // connected devices of a user; 0: DefaultMaxSessions, below: no bound

	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: slog.Default()
}

// Service answers the frames of clients. It keeps no state between calls; its
// methods may be called concurrently.
type Service struct {
	Config
	troubles troubles
	refusals refusals
}

// DefaultMaxSessions is how many devices of a user may be connected by default. It is more than
// anybody holds. It is low enough that a message, which goes to all of them, stays cheap.
const DefaultMaxSessions = 16

// New makes a Service.
func New(config Config) *Service {
	if config.MaxSessions == 0 {
		config.MaxSessions = DefaultMaxSessions
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	return &Service{Config: config}
}

// errQuery says that a query is not exactly one frame, or names nobody.
var errQuery = errors.New("logic: a query that no gateway sends")

// Query answers one SYNC or HISTORY with one encoded frame. The payload is not
// kept.
func (s *Service) Query(ctx context.Context, q *hop.Query) ([]byte, error) {
	f, n, err := protocol.Split(q.Frame, protocol.MaxFrame)
	if err != nil || n == 0 || n != len(q.Frame) || nobody(q.Identity) {
		return nil, s.badQuery(q.Identity)
	}
	var out []byte
	var code protocol.Code
	switch f.Type {
	case protocol.TypeSync:
		out, code = s.sync(ctx, q, f)
	case protocol.TypeHistory:
		out, code = s.history(ctx, q, f)
	default:
		code = protocol.CodeUnknownType
	}
	if code != 0 {
		return failure(nil, f.Request, code, 0), nil
	}
	return out, nil
}

func nobody(id hop.Identity) bool { return id.User == 0 || id.Device == 0 }

// badQuery notes a query that no gateway sends.
func (s *Service) badQuery(from hop.Identity) error {
	if s.troubles.frame.Note() {
		s.Logger.Error("logic: a query that no gateway sends", "gateway", from.Gateway, "conn", from.Conn, "user", from.User, "device", from.Device)
	}
	return errQuery
}

// pageLimit gives how many items a page may have for the limit that was asked.
func pageLimit(asked uint16) int {
	if asked == 0 || asked > protocol.MaxPage {
		return protocol.MaxPage
	}
	return int(asked)
}

// retryAfter is what a client is told to wait after a store did not answer. It gives a disk or a
// fail-over time to recover, and a person does not notice it.
const retryAfter = 200 * time.Millisecond

// failure encodes an ERROR frame at the end of dst. It adds no text if the code is enough, because
// the gateway has bounded room for the answers of a whole window. retry is how long the client is
// to wait before it tries again; 0 means what the code says.
func failure(dst []byte, request uint32, code protocol.Code, retry time.Duration) []byte {
	if retry == 0 && code == protocol.CodeUnavailable {
		retry = retryAfter
	}
	f := protocol.Failure{Code: code, RetryAfter: uint32(min(max(retry, 0), maxRetryAfter) / time.Millisecond)}
	if code == protocol.CodeRateLimited { // logic has one limit only; the gateway has the others
		f.Text = newConversations
	}
	return f.AppendError(dst, request)
}

var newConversations = []byte("over the limit of conversations begun per second of this user")

// maxRetryAfter bounds what a client is told to wait, whatever a store says.
const maxRetryAfter = time.Minute
