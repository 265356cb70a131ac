package gateway

import (
	"sync"
	"sync/atomic"

	"gannet/internal/hop"
	"gannet/protocol"
)

// transport is the socket below a session: netpoll for plain TCP, crypto/tls for TLS. The session
// is the same above both. A transport calls session.input with the bytes that it reads, never
// from two goroutines at once. It calls session.ended exactly once, after the last input. Hold
// the session's writing lock to call the other methods.
type transport interface {
	// write takes as much of p as it can without waiting and returns how much that was. Less than
	// all is not an error.
	write(p []byte) (int, error)

	// await makes the transport call Gateway.wake once, when it takes bytes again after an
	// incomplete write. If it returns an error, it cannot do that, and the wheel tries the
	// socket.
	await(s *session) error

	// shutdown ends the connection in both directions after everything written has gone out.
	// ended follows. It may be called more than once.
	shutdown()

	// reset ends the connection at once, so that the peer sees it break. ended follows. Nothing
	// may be written after it.
	reset()

	// remote names the peer, for the log.
	remote() string
}

// phase is the state of a connection.
type phase = int32

const (
	phaseNew     phase = iota // waits for HELLO
	phaseLogin                // HELLO is with logic
	phaseOnline               // user and device are known
	phaseClosing              // a CLOSE is on its way out, or the peer is gone
)

// session is one connection. It has no goroutine: the poller brings input (input.go), the writer
// takes output away (output.go), and the wheel calls when something is due (life.go).
//
// Locks, in the order in which they may be taken: writing, mu. Nothing waits while it holds one
// of them.
type session struct {
	id        uint64
	gateway   *Gateway
	transport transport
	place     *place

	phase       atomic.Int32
	window      window // SEND, PUSHACK and READ that logic has not answered; next to phase, as a lane reads both
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
	begunBytes  atomic.Int64 // memory of partial, and of a TLS record below it; input writes it
	begunAt     atomic.Int64 // tick at which its first byte came; input writes it
	inputs      uint64       // calls of input; input only
	taken       int64        // frames handled; input only
	early       int64        // TLS records before the login that brought no frames; input only
	greeted     uint64       // the number, in inputs, of the call that brought HELLO; input only
	busyUntil   int64        // tick up to which a client that was refused should wait; input only
	busyTicks   int64        // how long that wait was, about; input only
	defiedUntil int64        // tick at which defied is set to 0 again; input only
	heldTicks   int64        // shortest length of the last hold over a limit; input only
	filled      atomic.Int64 // time at which its bucket is full again, see pace
	defied      int          // how much was refused although the client was told to wait; input only
	sends       int          // tokens of its user that it has taken and not used; input only
	sendBytes   int          // tokens of the user for bytes, taken and not used; input only
	waiting     waitingAcks
	timer       timer
	writing     sync.Mutex // held to use the transport, so that it is not closed meanwhile
	released    bool       // the transport must not be used any more; guarded by writing
	broken      bool       // the transport was reset; guarded by writing

	// held says until when and why the SENDs of the connection are refused. It is nil if they
	// never were.
	held atomic.Pointer[holding]

	mu       sync.Mutex // guards all fields below
	outbox   outbox
	reserved int   // bytes of the outbox for answers that are under way
	wanted   int   // bytes of a reservation that was refused; 0: none was
	parked   []job // queries that wait for room, in order
	listed   bool  // it is on its writer's list
	reason   protocol.Code
	entered  bool   // it is in the directory, so Logout must be told at the end
	epoch    uint64 // of the gateway, under which the directory has it
	unacked  []unacked

	blockage *blockage // nil: the socket is not blocked
	goodbye  int64     // tick at which a connection that is to end, but is blocked, is reset
}

func (s *session) identity() hop.Identity {
	return hop.Identity{Gateway: s.gateway.epoch.Load(), Conn: s.id, User: s.user, Device: s.device}
}
