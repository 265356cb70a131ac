package conformance

import (
	"sync"
	"testing"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/protocol"
)

// Site is gateways as an adapter of logic.Gateways reaches them.
type Site struct {
	Gateways logic.Gateways
	Epoch    uint64 // of a gateway that is there

	// Connect logs a device of the user in at that gateway, and gives its connection.
	// closed waits until it is closed, and gives the code; alive checks that it is served.
	Connect func(user uint64) (conn uint64, closed func() protocol.Code, alive func())

	// Renew ends the registration of the epoch. The gateway goes on under another one.
	Renew func()
}

// Gateways holds an adapter of logic.Gateways to its guarantees.
func Gateways(t *testing.T, open func(t *testing.T) Site) {
	kick := func(t *testing.T, s Site, conn uint64, code protocol.Code) {
		t.Helper()
		if err := s.Gateways.Kick(t.Context(), hop.Address{Gateway: s.Epoch, Conn: conn}, code); err != nil {
			t.Fatalf("kick: %v", err)
		}
	}
	t.Run("a connection is closed with the code, others stay", func(t *testing.T) {
		s := open(t)
		conn, closed, _ := s.Connect(2)
		_, _, alive := s.Connect(2)
		kick(t, s, conn, protocol.CodeReplaced)
		if code := closed(); code != protocol.CodeReplaced {
			t.Errorf("it was closed with %v", code)
		}
		alive()
	})
	t.Run("a connection that is gone is no error", func(t *testing.T) {
		s := open(t)
		conn, closed, _ := s.Connect(2)
		_, _, alive := s.Connect(2)
		kick(t, s, 1<<63|4711, protocol.CodeReplaced)
		kick(t, s, conn, protocol.CodeReplaced)
		closed()
		kick(t, s, conn, protocol.CodeReplaced)
		alive()
	})
	t.Run("the number of a connection counts under its own epoch alone", func(t *testing.T) {
		s := open(t)
		conn, _, alive := s.Connect(2)
		s.Renew()
		kick(t, s, conn, protocol.CodeReplaced) // its gateway's registration has ended: no error
		alive()
	})
	t.Run("many at once, each with its own code", func(t *testing.T) {
		s := open(t)
		codes := []protocol.Code{protocol.CodeReplaced, protocol.CodeOverLimits, protocol.CodeTokenExpired}
		var all sync.WaitGroup
		for i := range 30 {
			conn, closed, _ := s.Connect(2 + uint64(i%10))
			all.Go(func() {
				if err := s.Gateways.Kick(t.Context(), hop.Address{Gateway: s.Epoch, Conn: conn}, codes[i%3]); err != nil {
					t.Errorf("kick: %v", err)
				} else if code := closed(); code != codes[i%3] {
					t.Errorf("closed with %v, want %v", code, codes[i%3])
				}
			})
		}
		all.Wait()
	})
}
