package gateway

import (
	"sync"
	"sync/atomic"

	"gannet/internal/hop"
	"gannet/protocol"
)

// transport is the socket below a session. Netpoll carries plain TCP, crypto/tls
// carries TLS; the session is the same above both. A transport calls
// session.input with what it read, never from two goroutines at once, and
// session.ended exactly once, after the last input. Its other methods are for the
// holder of the session's writing lock.
type transport interface {
	// write takes as much of p as it can without waiting and says how much that
	// was; less than everything is no error.
	write(p []byte) (int, error)

	// await has Gateway.wake called, once, when the transport takes bytes again for
	// the session, after a write that was not complete. An error: it cannot, and the
	// wheel tries.
	await(s *session) error

	// shutdown ends the connection in both directions, after what was written
	// has gone out. ended follows. It may be called more than once.
	shutdown()

	// reset ends the connection at once, so that the peer sees it break, whatever it
	// has read. ended follows. Nothing is written after it.
	reset()

	// remote names the peer, for the log.
	remote() string
}

// phase is where a connection is in its life.
type phase = int32

const (
	phaseNew     phase = iota // waits for HELLO
	phaseLogin                // HELLO is with logic
	phaseOnline               // user and device are known
	phaseClosing              // a CLOSE is on its way out, or the peer is gone
)

// session is one connection. It has no goroutine: the poller brings input
// (input.go), the writer takes output away (output.go), the wheel brings what is
// due (life.go).
//
// Locks, in the order in which they may be taken: writing, mu. Neither is held
// while anything waits.
type session struct {
	id        uint64
	gateway   *Gateway
	transport transport
	place     *place

	phase       atomic.Int32
	window      window // SEND, PUSHACK and READ frames that logic has not answered; beside phase, as a lane wants both
	user        uint64 // set before phaseOnline, read only from then on
	device      uint64
	platform    protocol.Platform
	number      uint64       // of the login
	opened      int64        // tick
	heard       atomic.Int64 // tick of the last input
	expires     int64        // Unix seconds at which the token ends, 0: never; set before phaseOnline
	silence     int64        // ticks without input that end the connection; set before phaseOnline
	parts       []part       // what waits in each lane; set before phaseOnline
	queries     atomic.Int32 // SYNC and HISTORY frames that logic has not answered
	partial     []byte       // the frame that has not arrived whole; input only
	begunBytes  atomic.Int64 // memory that partial holds, and a record of TLS below it; input writes it
	begunAt     atomic.Int64 // tick at which the first of it came; input writes it
	inputs      uint64       // calls of input; input only
	taken       int64        // frames; input only
	early       int64        // records of TLS that brought nothing before the login; input only
	greeted     uint64       // the one that brought HELLO; input only
	busyUntil   int64        // tick up to which a client that was refused should wait; input only
	busyTicks   int64        // how long that wait was, about; input only
	defiedUntil int64        // tick; input only
	heldTicks   int64        // what the last hold over a limit was to last at least; input only
	filled      atomic.Int64 // nanoseconds at which all its frames are allowed again: see pace
	defied      int          // refused although the client was told to wait; input only
	sends       int          // tokens of its user that it has taken and not used; input only
	sendBytes   int          // likewise
	waiting     waitingAcks
	timer       timer
	writing     sync.Mutex // held to use the transport, so that it is not closed meanwhile
	released    bool       // the transport must not be used any more; guarded by writing
	broken      bool       // it was reset; guarded by writing

	// held says until when the SENDs of the connection are refused, and why; nil: they
	// never were.
	held atomic.Pointer[holding]

	mu       sync.Mutex // guards what follows
	outbox   outbox
	reserved int   // bytes of the outbox for answers that are under way
	wanted   int   // bytes of a reservation that was refused; 0: none was
	parked   []job // queries that wait for room, in order
	listed   bool  // with its writer, which is going to write
	reason   protocol.Code
	entered  bool   // logic knows the device: Logout is due at the end
	epoch    uint64 // of the gateway, under which the directory has it
	unacked  []unacked

	blockage *blockage // nil: the socket is not blocked
	goodbye  int64     // tick at which a connection is reset that is to end and cannot
}

func (s *session) identity() hop.Identity {
	return hop.Identity{Gateway: s.gateway.epoch.Load(), Conn: s.id, User: s.user, Device: s.device}
}
