package gateway

import (
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// tlsPending is how much a TLS connection takes from its outbox ahead of the
// socket: one write of the writer's, so that it never has to wait.
const tlsPending = scratchBytes

// tlsKeeps is how much memory a connection keeps for what is pending next. That much,
// pending and under way, is the price of a TLS connection; what is beyond it is in the
// budget of memory.
const tlsKeeps = 4 << 10

// tlsPressed is how much a TLS connection holds, pending and under way, once that budget
// is used up: a record.
const tlsPressed = 16 << 10

// tlsGoodbye is how long a TLS connection that is to end may take for what is still
// pending, so that a peer that does not read holds up no stop.
const tlsGoodbye = time.Second

// tlsTransport is TLS, by crypto/tls. It costs two goroutines and its buffers
// for each connection, which the plain listener does not: for a million
// connections TLS ends in front of the gateway.
type tlsTransport struct {
	conn    *tls.Conn
	below   *tlsConn
	gateway *Gateway
	peer    *place

	mu      sync.Mutex
	changed sync.Cond // pending grew, or the connection is to end
	pending []byte
	under   []byte // is being written
	charged int64  // bytes in the books of memory
	ending  bool
	waiting *session // for room in pending
}

func (t *tlsTransport) write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ending {
		return 0, net.ErrClosed
	}
	n := min(len(p), t.room())
	t.pending = append(t.pending, p[:n]...)
	t.charge()
	t.changed.Signal()
	return n, nil
}

// room says how many bytes more may be pending. There is some whenever nothing is pending
// or under way. mu is held.
func (t *tlsTransport) room() int {
	if t.gateway.memory.exceeded() {
		return max(0, tlsPressed-len(t.pending)-len(t.under))
	}
	return tlsPending - len(t.pending)
}

// charge brings the books of memory up to date; mu is held.
func (t *tlsTransport) charge() {
	held := int64(cap(t.pending) + cap(t.under))
	if held <= 2*tlsKeeps {
		held = 0
	}
	if held != t.charged {
		t.gateway.memory.used.Add(held - t.charged)
		t.charged = held
	}
}

func (t *tlsTransport) await(s *session) error {
	t.mu.Lock()
	room := t.room() > 0
	if !room {
		t.waiting = s
	}
	t.mu.Unlock()
	if room { // carry was quicker
		s.gateway.wake(s.id)
	}
	return nil
}

func (t *tlsTransport) shutdown() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ending {
		by := time.Now().Add(tlsGoodbye) // of the write under way too; an error of it ends carry
		t.below.goodbye.Store(by.UnixNano())
		_ = t.below.SetWriteDeadline(by)
	}
	t.ending = true
	t.changed.Signal()
}

// reset closes the socket below TLS, for an alert of TLS would wait for the write that
// is under way.
func (t *tlsTransport) reset() {
	below := t.conn.NetConn()
	if tcp, ok := below.(interface{ SetLinger(int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = below.Close()
	t.shutdown()
}

// allow gives the write under way some time more, unless the connection is to end: then
// it keeps what shutdown gave it, and allow says false.
func (t *tlsTransport) allow(more time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ending {
		_ = t.below.SetWriteDeadline(time.Now().Add(more))
	}
	return !t.ending
}

func (t *tlsTransport) remote() string { return t.gateway.places.whose(t.peer).String() }

// carry writes what is pending until the connection is to end, and then ends it. A peer
// that takes nothing ends it too (tlsConn.Write).
func (t *tlsTransport) carry() {
	defer t.conn.NetConn().Close() // what TLS says at the end may be what goes wrong
	defer t.drop()
	defer func() {
		if cause := recover(); cause != nil {
			t.gateway.panicked("tls", cause)
		}
	}()
	var out []byte
	for {
		var waiting *session
		var over bool
		out, waiting, over = t.next(out)
		if waiting != nil {
			waiting.gateway.wake(waiting.id)
		}
		if over {
			_ = t.conn.Close()
			return
		}
		if len(out) == 0 {
			continue
		}
		if _, err := t.conn.Write(out); err != nil {
			t.reset() // it may have been cut in a frame
			return
		}
		if cap(out) > tlsKeeps {
			out = nil
		}
	}
}

// next says that what was under way is written, waits for bytes to write, and says who
// waits for their room; over: nothing is left, and the connection is to end. spare is
// what bytes may be gathered in meanwhile.
func (t *tlsTransport) next(spare []byte) (out []byte, waiting *session, over bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.under = nil
	for len(t.pending) == 0 && !t.ending && t.waiting == nil {
		t.charge()
		t.changed.Wait()
	}
	t.under, t.pending = t.pending, spare[:0]
	t.charge()
	waiting, t.waiting = t.waiting, nil
	return t.under, waiting, t.ending && len(t.under) == 0
}

// drop gives up everything. Nothing is taken any more.
func (t *tlsTransport) drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ending, t.pending, t.under, t.waiting = true, nil, nil, nil
	t.charge()
}
