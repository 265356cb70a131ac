package rpc

import (
	"net"
	"sync"
	"time"

	"gannet/internal/operate"
)

// Bounds of a server.
const (
	// maxConns bounds the connections of peers. It is enough for a hundred nodes with 40
	// connections each.
	maxConns = 4096

	// stallTimeout is how long a peer may take to send a call that it has begun, and to take an
	// answer. It is several times as long as the deadline of any call.
	stallTimeout = 5 * time.Second

	// idleTimeout is how long a connection may wait for its next call. A client closes unused
	// connections after idleConn, which is shorter, so that it does not use one that the server
	// is just closing.
	idleTimeout = 2 * time.Minute

	// acceptPause is how long to wait after accept has failed. It works again only after some
	// connections or files have been closed.
	acceptPause = 100 * time.Millisecond
)

// listener is the listener that Kitex accepts from. It bounds the number of connections. It
// survives passing errors of accept, at which Kitex would end its server. It can end connections
// as soon as no call is under way on them.
type listener struct {
	net.Listener
	refused, failed operate.Trouble

	mu       sync.Mutex
	conns    map[*peerConn]struct{}
	stopping bool
	once     sync.Once
	closed   chan struct{} // by Kitex
}

func newListener(ln net.Listener) *listener {
	return &listener{Listener: ln, conns: make(map[*peerConn]struct{}), closed: make(chan struct{})}
}

// Close is called by Kitex, when its server is to end.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// Accept gives the next connection. It fails only when Kitex has closed the listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err == nil {
			if c := l.admit(conn); c != nil {
				return c, nil
			}
			continue
		}
		if l.isStopping() {
			<-l.closed
			return nil, err
		}
		l.failed.Count()
		time.Sleep(acceptPause)
	}
}

func (l *listener) isStopping() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stopping
}

// admit gives a connection its place; nil: there is none.
func (l *listener) admit(conn net.Conn) *peerConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopping || len(l.conns) >= maxConns {
		if !l.stopping {
			l.refused.Count()
		}
		_ = conn.Close()
		return nil
	}
	c := &peerConn{Conn: conn, listener: l}
	l.conns[c] = struct{}{}
	return c
}

// stop accepts no more connections, and ends each connection as soon as no call is under way on
// it. Idle ones end at once.
func (l *listener) stop() {
	l.mu.Lock()
	l.stopping = true
	conns := l.list()
	l.mu.Unlock()
	_ = l.Listener.Close()
	for _, c := range conns {
		c.finish()
	}
}

// cut closes the connections that are left, and gives their number.
func (l *listener) cut() int {
	l.mu.Lock()
	conns := l.list()
	l.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
	return len(conns)
}

// list gives the connections. mu is held.
func (l *listener) list() (conns []*peerConn) {
	for c := range l.conns {
		conns = append(conns, c)
	}
	return conns
}

func (l *listener) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// peerConn is a connection of a peer. Kitex serves its calls one after the other, on one
// goroutine for each connection, and sets a read deadline before it waits for the next call.
type peerConn struct {
	net.Conn
	listener *listener

	mu        sync.Mutex
	finishing bool
}

// SetReadDeadline is called by Kitex: with idleTimeout while it waits for a call, and with
// stallTimeout once a call has begun.
func (c *peerConn) SetReadDeadline(at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finishing {
		at = time.Unix(1, 0)
	}
	return c.Conn.SetReadDeadline(at)
}

// Read returns net.ErrClosed, which nobody logs, when the connection ends because of finish.
func (c *peerConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil && n == 0 && c.isFinishing() {
		err = net.ErrClosed
	}
	return n, err
}

func (c *peerConn) isFinishing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.finishing
}

// finish makes the read for the next call fail, whether it waits now or begins later.
func (c *peerConn) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finishing = true
	_ = c.Conn.SetReadDeadline(time.Unix(1, 0))
}

// Write writes an answer. If the peer does not take it in time, Write gives the peer up.
func (c *peerConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(stallTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// Close closes the connection and gives its place back.
func (c *peerConn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.conns, c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
