package gateway

import (
	"sync/atomic"
	"unsafe"

	"gannet/protocol"
)

// memory is the budget of what waits for blocked sockets, over all connections, in
// outboxes, in TLS below them and in the kernel. What waits for the others is with their
// writer, and gone in a moment. Beyond the budget blocked sockets get no pushes but
// hints, room for one page at a time and for few answers, and less patience; a connection
// that reads as fast as it is written to feels nothing of it. So what is held in all is the budget, and beyond it
// what sockets hold that have been blocked for less than pressedTimeout: of each at most
// its buffer in the kernel, the frame that it was cut in and a page, and of one with TLS
// a record. A socket whose bytes all fit into the kernel is not blocked: what it holds
// beyond what its peer has room for is unsentBytes and a segment at most, and in no
// budget; nor is what is on its way to a peer that acknowledges nothing any more.
type memory struct {
	limit   int64
	used    atomic.Int64 // bytes that outboxes of blocked sockets hold, and TLS below them
	blocked atomic.Int64 // sockets that are blocked: the kernel's buffer of each is full
}

func (m *memory) exceeded() bool { return m.held() >= m.limit }

// held gives the bytes that wait for blocked sockets.
func (m *memory) held() int64 { return m.used.Load() + m.blocked.Load()*kernelHolds }

// blockage is what a session keeps while its socket is blocked; the session's mutex
// guards it.
type blockage struct {
	stuck   int64 // tick since when the socket has taken nothing
	ownAt   int64 // tick at which the outbox lets go of what it shares
	tryAt   int64 // tick at which the socket is tried unasked
	probing bool  // the next write only asks whether it takes anything
	charged int64 // bytes in the books of memory
}

// begin says that the socket of a session is blocked from now on; mu is held.
func (m *memory) begin(s *session, now int64) {
	s.blockage = &blockage{stuck: now, ownAt: now + graceTicks}
	s.outbox.blocked = true
	m.blocked.Add(1)
}

// charge brings the books of memory up to date, and ends what begin began; mu is held.
// Whoever has changed the outbox calls it.
func (s *session) charge() {
	b, o, m := s.blockage, &s.outbox, &s.gateway.memory
	if b == nil {
		return
	}
	held := int64(0)
	if o.blocked {
		held = int64(o.bytes() + len(o.hints)*int(unsafe.Sizeof(protocol.Cursor{})))
	}
	m.used.Add(held - b.charged)
	b.charged = held
	if !o.blocked {
		m.blocked.Add(-1)
		s.blockage = nil
	}
}
