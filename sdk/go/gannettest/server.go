// Package gannettest runs a gannet server inside a test, so that an app is tested
// against the real thing:
//
//	s := gannettest.Start(t)
//	alice, err := gannet.Dial(t.Context(), s.Address(), s.Token(1))
//	bob, err := gannet.Dial(t.Context(), s.Address(), s.Token(2))
//
// It is the whole server that gannet serve starts, with a data folder and a port of its
// own, so tests may run in parallel; and it ends with the test. Users need no
// registration: whoever has a token is one.
package gannettest

import (
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"gannet/internal/command"
)

// tokenTTL outlasts every test.
const tokenTTL = 24 * time.Hour

// portPatience is how long Restart waits for its port. Clients that dial a port which
// nobody listens on are given that very port as their own now and then, for a moment.
const portPatience = 10 * time.Second

// Server is a server in the test's process. Its methods may be called concurrently, but
// those that end the test when they fail, as Token does, belong to the goroutine that
// runs it.
type Server struct {
	t       testing.TB
	log     *output
	flags   []string
	address string

	mu      sync.Mutex
	running *command.Server // nil while it is stopped
	last    *command.Server // signs tokens also while it is stopped
}

// Start starts a server and waits until clients can connect. The test ends when that
// fails. The server stops when the test and its subtests are through, and has by then
// said what went wrong, if anything did, in the test's log.
//
// Flags are those of gannet serve. Without them nothing limits what a client may ask for,
// and how full the disk is does not matter. "--limits", "on" switches the limits on that
// a server has by default, and "--limits", "on", "--limit-sends", "1/5" makes it refuse a
// user's sixth message in a second.
func Start(t testing.TB, flags ...string) *Server {
	t.Helper()
	s := &Server{t: t, log: &output{to: t.Output()}}
	s.flags = slices.Concat([]string{
		"--data", filepath.Join(t.TempDir(), "data"), "--listen", "127.0.0.1:0", "--sockets", "1", "--limits", "off", "--min-free", "0",
	}, flags)
	t.Cleanup(s.end)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.start(); err != nil {
		t.Fatalf("gannettest: the server does not start: %v", err)
	}
	s.address = s.running.Address()
	s.flags = append(s.flags, "--listen", s.address) // the same from now on
	return s
}

// start starts a server on the data folder. The caller holds mu.
func (s *Server) start() error {
	server, err := command.StartServer(slog.New(slog.NewTextHandler(s.log, nil)), s.flags...)
	if err != nil {
		return err
	}
	s.running, s.last = server, server
	return nil
}

// Address is where clients connect, host:port. It stays the same for the life of the
// Server.
func (s *Server) Address() string { return s.address }

// Token gives a token with which a user can log in, on any number of devices; users are
// numbers from 1. It is good for a day, also after a Restart.
func (s *Server) Token(user uint64) string {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	token, err := s.last.Token(user, tokenTTL)
	if err != nil {
		s.t.Fatalf("gannettest: %v", err)
	}
	return token
}

// Stop stops the server, for a test of what an app does without one. Its clients are told
// to come back, and find nobody until Restart. Of a server that is stopped it does
// nothing.
func (s *Server) Stop() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.stop(); err != nil {
		s.t.Errorf("gannettest: the server did not stop well: %v", err)
	}
}

// Restart stops the server, if it runs, and starts it again with what it had on disk,
// under the same address. Every client loses its connection.
func (s *Server) Restart() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.stop(); err != nil {
		s.t.Errorf("gannettest: the server did not stop well: %v", err)
	}
	err := s.start()
	for deadline := time.Now().Add(portPatience); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
		err = s.start()
	}
	if err != nil {
		s.t.Fatalf("gannettest: the server does not start again: %v", err)
	}
}

// stop stops what runs. The caller holds mu.
func (s *Server) stop() error {
	server := s.running
	if server == nil {
		return nil
	}
	s.running = nil
	return server.Stop()
}

// end is Stop at the end of the test; after it nothing is logged any more.
func (s *Server) end() {
	s.Stop()
	s.log.close()
}
