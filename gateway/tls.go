package gateway

import (
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// tlsPending is how many bytes a TLS connection takes from its outbox before the socket has taken
// them: one write of the writer, so that the writer never has to wait.
const tlsPending = scratchBytes

// tlsKeeps is how much memory a connection keeps for its next pending bytes. So much, pending and
// under way, is the usual cost of a TLS connection. Memory beyond that counts in the budget of
// memory.
const tlsKeeps = 4 << 10

// tlsPressed is how much a TLS connection may hold, pending and under way, when that budget is
// used up: one record.
const tlsPressed = 16 << 10

// tlsGoodbye is how long a TLS connection that is to end may take to write its pending bytes, so
// that a peer that does not read does not delay a stop.
const tlsGoodbye = time.Second

// tlsTransport is TLS, by crypto/tls. It costs two goroutines and buffers for each connection,
// which the plain listener does not. With a million connections, TLS should end in front of the
// gateway.
type tlsTransport struct {
	conn    *tls.Conn
	below   *tlsConn
	gateway *Gateway
	peer    *place

	mu      sync.Mutex
	changed sync.Cond // signals that pending grew or that the connection is to end
	pending []byte
	under   []byte // is being written
	charged int64  // bytes counted in memory.used
	ending  bool
	waiting *session // the session that waits for room in pending
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

// room gives how many more bytes may be pending. There is always some if nothing is pending or
// under way. The caller holds mu.
func (t *tlsTransport) room() int {
	if t.gateway.memory.exceeded() {
		return max(0, tlsPressed-len(t.pending)-len(t.under))
	}
	return tlsPending - len(t.pending)
}

// charge counts the memory held in the budget of memory. The caller holds mu.
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
	if room { // carry has made room already
		s.gateway.wake(s.id)
	}
	return nil
}

func (t *tlsTransport) shutdown() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ending {
		by := time.Now().Add(tlsGoodbye) // for the write under way too; if that fails, carry ends
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

// allow gives the write under way more time and returns true. If the connection is to end, the
// deadline of shutdown stays, and allow returns false.
func (t *tlsTransport) allow(more time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ending {
		_ = t.below.SetWriteDeadline(time.Now().Add(more))
	}
	return !t.ending
}

func (t *tlsTransport) remote() string { return t.gateway.places.whose(t.peer).String() }

// carry writes the pending bytes until the connection is to end, and then ends it. A peer that
// takes nothing also ends it (tlsConn.Write).
func (t *tlsTransport) carry() {
	defer t.conn.NetConn().Close() // conn.Close of TLS may be what panics
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
			t.reset() // a frame may have been cut
			return
		}
		if cap(out) > tlsKeeps {
			out = nil
		}
	}
}

// next notes that the bytes under way are written, and waits for more. It returns the bytes to
// write next, the session that waits for room, if any, and over: nothing is left and the
// connection is to end. spare is a buffer for new pending bytes.
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

// drop frees everything. No more bytes are taken.
func (t *tlsTransport) drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ending, t.pending, t.under, t.waiting = true, nil, nil, nil
	t.charge()
}
