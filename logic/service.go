// Package logic has the rules of gannet: who may log in, what a message is and
// which seq it gets, who may read what. It reaches everything else through the
// ports in ports.go.
//
// A batch of SEND, PUSHACK and READ frames goes through forward.go (frames to
// entries), access.go (who may), the Log (ledger and store), reply.go (outcomes to
// answers) and receipt.go. Everything runs on the goroutine of the caller.
package logic

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
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

	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: slog.Default()
}

// Service answers the frames of clients. It keeps no state between calls; its
// methods may be called concurrently.
type Service struct {
	Config
	counters counters
}

// counters counts what did not go as it should.
type counters struct {
	badBatches  atomic.Uint64 // of a gateway: lists that do not fit, or a queue that is not there
	badFrames   atomic.Uint64 // of a gateway: not one frame, no user, or another queue's conversation
	logFailed   atomic.Uint64 // batches that the log did not carry out
	readFailed  atomic.Uint64 // SYNC, HISTORY and redeliveries that could not be read
	badReads    atomic.Uint64 // of a store: pages that are none
	access      atomic.Uint64 // batches and queries for which Social did not answer
	receipts    atomic.Uint64 // batches of receipts that did not go out
	kicks       atomic.Uint64 // replaced connections that could not be closed
	loginFailed atomic.Uint64 // logins for which the directory or the tokens did not answer
}

// New makes a Service.
func New(config Config) *Service {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	return &Service{Config: config}
}

// Stats gives every counter by name; they rise from the start of the process.
func (s *Service) Stats() map[string]uint64 {
	c := &s.counters
	return map[string]uint64{
		"hostile.batch":   c.badBatches.Load(),
		"hostile.frame":   c.badFrames.Load(),
		"hostile.page":    c.badReads.Load(),
		"failed.log":      c.logFailed.Load(),
		"failed.read":     c.readFailed.Load(),
		"failed.access":   c.access.Load(),
		"failed.receipts": c.receipts.Load(),
		"failed.kick":     c.kicks.Load(),
		"failed.login":    c.loginFailed.Load(),
	}
}

// errQuery says that a query is not exactly one frame, or names nobody.
var errQuery = errors.New("logic: a query that no gateway sends")

// Query answers one SYNC or HISTORY with one encoded frame. The payload is not
// kept.
func (s *Service) Query(ctx context.Context, q *hop.Query) ([]byte, error) {
	f, n, err := protocol.Split(q.Frame, protocol.MaxFrame)
	if err != nil || n == 0 || n != len(q.Frame) || q.User == 0 {
		s.counters.badFrames.Add(1)
		return nil, errQuery
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
		return failure(nil, f.Request, code), nil
	}
	return out, nil
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
