package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"gannet/protocol"
)

// tlsPending is how much a TLS connection takes from its outbox ahead of the
// socket: one write of the writer's, so that it never has to wait.
const tlsPending = scratchBytes

// tlsKeeps is how much memory a connection keeps for what is pending next.
const tlsKeeps = 4 << 10

// handshakeTimeout bounds the TLS handshake; HELLO has its own time after it.
const handshakeTimeout = protocol.LoginTimeout

// tlsGoodbye is how long a TLS connection that is to end may take for what is still
// pending, so that a peer that does not read holds up no stop.
const tlsGoodbye = time.Second

// tlsTransport is TLS, by crypto/tls. It costs two goroutines and its buffers
// for each connection, which the plain listener does not: for a million
// connections TLS ends in front of the gateway.
type tlsTransport struct {
	conn *tls.Conn

	mu      sync.Mutex
	changed sync.Cond // pending grew, or the connection is to end
	pending []byte
	ending  bool
	waiting *session // for room in pending
}

func (t *tlsTransport) write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ending {
		return 0, net.ErrClosed
	}
	n := min(len(p), tlsPending-len(t.pending))
	t.pending = append(t.pending, p[:n]...)
	t.changed.Signal()
	return n, nil
}

func (t *tlsTransport) await(s *session) error {
	t.mu.Lock()
	room := len(t.pending) < tlsPending
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
		_ = t.conn.SetWriteDeadline(time.Now().Add(tlsGoodbye)) // of the write under way; an error of it ends carry
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

func (t *tlsTransport) remote() string { return t.conn.RemoteAddr().String() }

// carry writes what is pending until the connection is to end, and then ends it. That
// a peer takes nothing is for the wheel to see, once pending is full.
func (t *tlsTransport) carry() {
	var out []byte
	for {
		t.mu.Lock()
		for len(t.pending) == 0 && !t.ending {
			t.changed.Wait()
		}
		if len(t.pending) == 0 {
			t.mu.Unlock()
			t.conn.Close()
			return
		}
		out, t.pending = t.pending, out[:0]
		waiting := t.waiting
		t.waiting = nil
		if t.ending {
			_ = t.conn.SetWriteDeadline(time.Now().Add(tlsGoodbye))
		}
		t.mu.Unlock()
		if waiting != nil {
			waiting.gateway.wake(waiting.id)
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

// tlsListener accepts TLS connections for the gateway.
type tlsListener struct {
	net.Listener
	wg sync.WaitGroup
}

// ServeTLS takes connections from the listener until Stop and speaks TLS 1.3
// with them, whatever lower version the configuration allows. It does not
// wait.
func (g *Gateway) ServeTLS(ln net.Listener, config *tls.Config) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopping {
		return ErrStopped
	}
	if err := boundBuffers(ln); err != nil {
		return err
	}
	config = config.Clone()
	config.MinVersion = tls.VersionTLS13
	l := &tlsListener{Listener: ln}
	g.listeners = append(g.listeners, l)
	l.wg.Go(func() { g.acceptTLS(l, config) })
	return nil
}

func (g *Gateway) acceptTLS(l *tlsListener, config *tls.Config) {
	for {
		conn, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			// Out of files, most likely: others have to leave first.
			g.log.Warn("a TLS connection could not be accepted", "error", err)
			time.Sleep(tick)
		default:
			l.wg.Go(func() { g.handleTLS(tls.Server(conn, config)) })
		}
	}
}

// handleTLS is one connection from its handshake to its end.
func (g *Gateway) handleTLS(conn *tls.Conn) {
	ctx, cancel := context.WithTimeout(g.ctx, handshakeTimeout)
	err := conn.HandshakeContext(ctx)
	cancel()
	if err != nil {
		g.counters.handshakes.Add(1)
		conn.Close()
		return
	}
	t := &tlsTransport{conn: conn}
	t.changed.L = &t.mu
	s := g.open(t)
	var carrying sync.WaitGroup
	carrying.Go(t.carry)
	buf := make([]byte, 4<<10)
	for {
		n, err := conn.Read(buf)
		s.input(buf[:n])
		if err != nil {
			break
		}
	}
	t.shutdown()
	carrying.Wait()
	s.ended()
}

func (l *tlsListener) refuse() { l.Listener.Close() }

func (l *tlsListener) close(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		l.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("gateway: TLS connections are left: %w", ctx.Err())
	}
}
