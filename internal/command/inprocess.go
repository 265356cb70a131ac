package command

import (
	"log/slog"
	"time"
)

// Server is a complete server in the calling process, for tests and benchmarks of
// the whole.
type Server struct {
	parts *server
	data  string
}

// StartServer starts a server as gannet serve does, with the same flags. It ignores the environment
// and the settings file, because they belong to the calling process. It returns once clients can
// connect.
func StartServer(log *slog.Logger, flags ...string) (*Server, error) {
	var c cli
	parser, err := flagParser(&c)
	if err != nil {
		return nil, err
	}
	if _, err := parser.Parse(append([]string{"serve"}, flags...)); err != nil {
		return nil, err
	}
	s, err := c.Serve.start(log)
	if err != nil {
		return nil, err
	}
	return &Server{s, c.Serve.Data}, nil
}

// Address is where it listens for clients.
func (s *Server) Address() string { return s.parts.address }

// TLSAddress is where it listens with TLS; empty without --tls-listen.
func (s *Server) TLSAddress() string { return s.parts.tlsAddress }

// DebugAddress is where the debug endpoint is; empty without --debug.
func (s *Server) DebugAddress() string {
	if s.parts.debug == nil {
		return ""
	}
	return s.parts.debug.Address()
}

// Token makes a token with which a user can log in for the time ttl.
func (s *Server) Token(user uint64, ttl time.Duration) (string, error) {
	return sign(s.data, user, ttl)
}

// Stop stops it as a signal would, and says what went wrong. A second call does
// nothing.
func (s *Server) Stop() error { return s.parts.stop() }
