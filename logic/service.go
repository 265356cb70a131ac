// Package logic has the rules of gannet: who may log in, what a message is and
// which seq it gets, who may read what. It reaches everything else through the
// ports in ports.go.
package logic

import (
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
