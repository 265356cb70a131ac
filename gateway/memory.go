package gateway

import (
	"sync/atomic"
	"unsafe"

	"gannet/protocol"
)

// memory is the budget of what waits for blocked sockets, over all connections. What
// waits for the others is with their writer, and gone in a moment. Beyond the budget
// blocked sockets get no pushes but hints, room for one page at a time and for few
// answers, and less patience; a connection that reads feels nothing of it. So what is
// held in all is the budget, and of each connection beyond it at most the frame that
// it was cut in and a page.
type memory struct {
	limit   int64
	used    atomic.Int64 // bytes that outboxes of blocked sockets hold
	blocked atomic.Int64 // sockets that are blocked
}

func (m *memory) exceeded() bool { return m.used.Load() >= m.limit }

// charge is what a session has in the books of memory.
type charge struct {
	bytes   int
	blocked bool
}

// charge brings the books of memory up to date; mu is held. Whoever has changed the
// outbox calls it.
func (s *session) charge() {
	o, m := &s.outbox, &s.gateway.memory
	if !o.blocked && !o.charge.blocked {
		return
	}
	var want charge
	if o.blocked {
		want = charge{o.bytes() + len(o.hints)*int(unsafe.Sizeof(protocol.Cursor{})), true}
	}
	if want.blocked != o.charge.blocked {
		if want.blocked {
			m.blocked.Add(1)
		} else {
			m.blocked.Add(-1)
		}
	}
	m.used.Add(int64(want.bytes - o.charge.bytes))
	o.charge = want
}
