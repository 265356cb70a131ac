package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gannet/protocol"
)

// handshakeTimeout bounds the TLS handshake; HELLO has its own time after it.
const handshakeTimeout = protocol.LoginTimeout

// tlsListener accepts TLS connections for the gateway.
type tlsListener struct {
	net.Listener
	wg sync.WaitGroup
}

// ServeTLS takes connections from the listener until Stop and speaks TLS 1.3 with them, even if
// the configuration allows lower versions. It does not wait.
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
	l.wg.Go(func() {
		for g.acceptTLS(l, config) {
		}
	})
	return nil
}

// acceptTLS accepts one connection; false: the listener is closed.
func (g *Gateway) acceptTLS(l *tlsListener, config *tls.Config) (more bool) {
	more = true
	defer func() {
		if cause := recover(); cause != nil {
			g.panicked("accept", cause)
			g.rest(acceptPause)
		}
	}()
	for g.places.crowded() && !g.draining.Load() {
		g.rest(tick)
	}
	conn, err := l.Accept()
	switch {
	case errors.Is(err, net.ErrClosed):
		return false
	case err != nil && gone(err):
		return true
	case err != nil:
		g.acceptFailed(err)
		g.rest(acceptPause)
		return true
	}
	c := &tlsConn{Conn: conn, gateway: g}
	c.place.from = addressOf(conn.RemoteAddr())
	if c.admitted() {
		l.wg.Go(func() { c.serve(config) })
	} else {
		l.wg.Go(c.leave)
	}
	return true
}

// tlsConn is a connection of the TLS listener from accept to its end. It carries the bytes below
// TLS. Bytes that came behind a PROXY header are in read and are read first.
type tlsConn struct {
	net.Conn
	gateway *Gateway
	place   place
	proxied bool
	gave    atomic.Bool // it gave way, and is counted as such
	read    []byte
	record  record
	session *session        // nil before the end of the handshake
	shaking int             // bytes that came before the end of the handshake
	brought int64           // bytes that records brought after the handshake
	charged int64           // records of the handshake, and records that brought nothing and are paid for
	turn    bool            // it holds a token of Gateway.shakes
	ending  context.Context // of the handshake
	goodbye atomic.Int64    // Unix nanoseconds by which everything is to be written; 0: not yet
	told    bool            // CLOSE was said without TLS
}

// admitted takes a place for the connection. If it returns false, the connection must leave.
func (c *tlsConn) admitted() (in bool) {
	g := c.gateway
	defer func() {
		if cause := recover(); cause != nil {
			g.panicked("accept", cause)
			g.counters.close(protocol.CodeInternal)
		}
		if !in {
			g.places.leave(&c.place)
		}
	}()
	g.counters.accepted.Add(1)
	c.proxied = g.proxies.contain(c.place.from.Addr())
	r, wait := g.places.take(&c.place, c.proxied)
	if r != admitted {
		c.refused(r)
		c.sayClose(r.code(), retryAfter(wait))
		return false
	}
	g.places.wait(&c.place, c)
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{
			Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveProbes,
		})
		if raw, err := tcp.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { boundUnsent(int(fd)) })
		}
	}
	return true
}

// giveWay ends a connection in its handshake without CLOSE, which the client would take for a
// part of the handshake.
func (c *tlsConn) giveWay() {
	c.gave.Store(true)
	c.refused(gaveWay)
	c.Conn.Close()
}

func (c *tlsConn) refused(r refusal) {
	c.gateway.refused(r, c.gateway.places.whose(&c.place))
	c.gateway.counters.close(r.code())
}

// serve is the connection from its handshake to its end.
func (c *tlsConn) serve(config *tls.Config) {
	g := c.gateway
	defer c.Close()
	defer g.places.leave(&c.place)
	defer func() {
		if cause := recover(); cause != nil {
			g.panicked("tls", cause)
		}
	}()
	conn := tls.Server(c, config)
	if !c.shakeHands(conn) {
		c.leave()
		return
	}
	t := &tlsTransport{conn: conn, below: c, gateway: g, peer: &c.place}
	t.changed.L = &t.mu
	s := &session{gateway: g, transport: t, place: &c.place}
	c.session, c.charged = s, c.record.over
	defer s.end()
	g.begin(s)
	var carrying sync.WaitGroup
	carrying.Go(t.carry)
	defer carrying.Wait()
	defer t.shutdown()
	buf := make([]byte, 4<<10)
	for {
		n, err := conn.Read(buf)
		c.brought += int64(n)
		s.input(buf[:n])
		if err != nil {
			return
		}
	}
}

// shakeHands reads the PROXY header of a proxied connection and does the TLS handshake, both
// within handshakeTimeout.
func (c *tlsConn) shakeHands(conn *tls.Conn) bool {
	g := c.gateway
	ctx, cancel := context.WithTimeout(g.ctx, handshakeTimeout)
	defer cancel()
	if c.proxied && !c.heading(ctx) {
		return false
	}
	c.ending = ctx
	err := conn.HandshakeContext(ctx)
	c.giveTurn()
	if err == nil {
		return true
	}
	var other tls.RecordHeaderError
	if errors.As(err, &other) && looksProxied(other.RecordHeader[:]) { // it is none of the proxies
		c.badProxy()
		return false
	}
	c.handshakeFailed(err)
	return false
}

// handshakeFailed counts a failed handshake. A peer that just goes away, as health checks do,
// does not count.
func (c *tlsConn) handshakeFailed(err error) {
	if c.gave.Load() {
		return
	}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		c.gateway.counters.close(0)
		return
	}
	c.gateway.counters.handshakes.Add(1)
}

// heading reads the PROXY header; false: there is none, or its client is refused.
func (c *tlsConn) heading(ctx context.Context) bool {
	g := c.gateway
	defer context.AfterFunc(ctx, func() { c.Conn.Close() })()
	var b []byte
	buf := make([]byte, maxProxyV2)
	for {
		n, rerr := c.Conn.Read(buf)
		b = append(b, buf[:n]...)
		from, n, err := proxyHeader(b)
		switch {
		case err != nil:
			g.badProxy(c.place.from)
			c.badProxy()
			return false
		case n > 0:
			c.read = b[n:]
			if !from.IsValid() {
				return true
			}
			r, wait := g.places.identify(&c.place, from)
			if r != admitted {
				c.refused(r)
				c.sayClose(r.code(), retryAfter(wait))
			}
			return r == admitted
		case rerr != nil:
			c.handshakeFailed(rerr)
			return false
		}
	}
}

// badProxy counts a connection without a proper PROXY header and sends CLOSE, so that whoever set
// up the proxy learns of it.
func (c *tlsConn) badProxy() {
	c.gateway.counters.close(protocol.CodeBadProxy)
	c.sayClose(protocol.CodeBadProxy, 0)
}

// SetLinger lets reset send a reset.
func (c *tlsConn) SetLinger(seconds int) error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		return tcp.SetLinger(seconds)
	}
	return nil
}

// Read reads what is below TLS. It is called on the goroutine that brings input.
func (c *tlsConn) Read(p []byte) (n int, err error) {
	s := c.session
	switch {
	case s == nil && c.shaking > handshakeBytes:
		return 0, errLongHandshake
	case s == nil:
		c.giveTurn()
	case !c.fair(): // CLOSE is on its way, so further bytes are not looked at
		_, err := io.Copy(io.Discard, c.Conn)
		return 0, cmp.Or(err, errManyRecords)
	default:
		s.chargeRecord(c.record.holds(p))
	}
	if len(c.read) > 0 {
		n = copy(p, c.read)
		c.read = c.read[n:]
	} else {
		n, err = c.Conn.Read(p)
	}
	c.record.pass(p[:n])
	if s == nil {
		c.shaking += n
		err = cmp.Or(err, c.takeTurn())
	}
	return n, err
}

// takeTurn waits until the handshake may compute. What has arrived needs a signature or a few key
// exchanges; very many at once would take all cores.
func (c *tlsConn) takeTurn() error {
	select {
	case c.gateway.shakes <- struct{}{}:
		c.turn = true
		return nil
	case <-c.ending.Done():
		return c.ending.Err()
	}
}

// giveTurn ends what takeTurn began, before the handshake waits for its peer.
func (c *tlsConn) giveTurn() {
	if c.turn {
		<-c.gateway.shakes
		c.turn = false
	}
}

// SetWriteDeadline is that of net.Conn, except that it keeps the earlier deadline of a connection
// that is to end: crypto/tls would give it 5 s for its last alert.
func (c *tlsConn) SetWriteDeadline(t time.Time) error {
	if by := c.goodbye.Load(); by != 0 && (t.IsZero() || t.UnixNano() > by) {
		t = time.Unix(0, by)
	}
	return c.Conn.SetWriteDeadline(t)
}

// Write writes the records of TLS. A peer that takes not one byte gets as much time as a blocked
// socket. That is checked here because bytes under way may count in the budget of memory, but the
// session only counts as blocked when more bytes wait than may be pending.
func (c *tlsConn) Write(p []byte) (n int, err error) {
	s := c.session
	if s == nil { // the handshake has its own time
		c.giveTurn()
		return c.Conn.Write(p)
	}
	for since := time.Now(); ; {
		more := s.transport.(*tlsTransport).allow(pressedTimeout)
		k, err := c.Conn.Write(p[n:])
		if n += k; !more || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		patience := writeTimeout
		if c.gateway.memory.exceeded() {
			patience = pressedTimeout
		}
		if now := time.Now(); k > 0 {
			since = now
		} else if now.Sub(since) >= patience {
			s.close(protocol.CodeWriteTimeout)
			s.breakOff()
			return n, err
		}
	}
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
