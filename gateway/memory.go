package gateway

import (
	"sync/atomic"
	"unsafe"

	"gannet/protocol"
)

// memory is the budget for everything that waits for blocked sockets, over all connections: in
// outboxes, in TLS below them and in the kernel. What waits for other sockets is already with
// their writer, and gone in a moment.
//
// When the budget is exceeded, blocked sockets get hints instead of pushes, room for one page at
// a time and for few answers, and less patience. A connection that reads as fast as it is written
// to does not notice.
//
// So all memory held is bounded by the budget, plus what sockets hold that have been blocked for
// less than pressedTimeout. For each of them that is at most its buffer in the kernel, the frame
// that was cut and a page, and for TLS a record. A socket whose bytes all fit into the kernel is
// not blocked. Beyond what its peer has room for it holds at most unsentBytes and a segment,
// which are in no budget. Nor are bytes on their way to a peer that acknowledges nothing any
// more.
type memory struct {
	limit   int64
	used    atomic.Int64 // bytes in outboxes of blocked sockets, and in TLS below them
	blocked atomic.Int64 // sockets that are blocked: the kernel's buffer of each is full
}

func (m *memory) exceeded() bool { return m.held() >= m.limit }

// held gives the bytes that wait for blocked sockets.
func (m *memory) held() int64 { return m.used.Load() + m.blocked.Load()*kernelHolds }

// blockage is the state of a session while its socket is blocked. The session's mutex guards it.
type blockage struct {
	stuck   int64 // tick since when the socket has taken nothing
	ownAt   int64 // tick at which the outbox stops sharing memory with others
	tryAt   int64 // tick at which the socket is tried even if it did not report that it is writable
	probing bool  // the next write only tests whether the socket takes anything
	charged int64 // bytes counted in memory.used
}

// begin says that the socket of a session is blocked from now on; mu is held.
func (m *memory) begin(s *session, now int64) {
	s.blockage = &blockage{stuck: now, ownAt: now + graceTicks}
	s.outbox.blocked = true
	m.blocked.Add(1)
}

// charge counts what the outbox of a blocked socket holds, and ends the blockage when the socket
// is not blocked any more. Call it after every change of the outbox, holding mu.
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
