package gateway

import (
	"io"
	"net"
	"sync/atomic"
	"time"

	"gannet/protocol"
)

// Limits for TLS connections that got CLOSE before their handshake. Their ClientHello may still
// be on its way. A socket that is closed before it arrives answers with a reset, and then the
// client loses what it has not read yet: the CLOSE with the time when to come again. So the
// gateway goes on reading, for the time of a round trip and for as much as a ClientHello has. It
// does so for a limited number of connections, which take few of the files that are not for
// clients.
const (
	leaveTime    = time.Second
	leaveBytes   = 16 << 10
	leavesAtOnce = 64
)

// leaving counts the connections that the gateway goes on reading, and those that it did not go on
// reading because there were too many.
type leaving struct {
	now     atomic.Int64
	dropped atomic.Uint64
}

func (l *leaving) enter() bool {
	for n := l.now.Load(); n < leavesAtOnce; n = l.now.Load() {
		if l.now.CompareAndSwap(n, n+1) {
			return true
		}
	}
	l.dropped.Add(1)
	return false
}

// sayClose sends CLOSE without TLS, before the handshake, because a handshake would cost more
// than the refusal saves. Nothing was written to the socket yet, so it takes the CLOSE at once.
func (c *tlsConn) sayClose(code protocol.Code, retry uint32) {
	tcp, ok := c.Conn.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return // it is closed already
	}
	c.told = raw.Control(func(fd uintptr) { sayClose(int(fd), code, retry) }) == nil
}

// leave ends a connection that was not let in, so that its client reads what it was told.
// It waits.
func (c *tlsConn) leave() {
	defer c.Close()
	defer func() {
		if cause := recover(); cause != nil {
			c.gateway.panicked("tls", cause)
		}
	}()
	tcp, ok := c.Conn.(*net.TCPConn)
	if !ok || !c.told || !c.gateway.leaving.enter() {
		return
	}
	defer c.gateway.leaving.now.Add(-1)
	if tcp.CloseWrite() != nil || tcp.SetReadDeadline(time.Now().Add(leaveTime)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, tcp, leaveBytes)
}
