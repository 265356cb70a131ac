package gateway

import (
	"io"
	"net"
	"sync/atomic"
	"time"

	"gannet/protocol"
)

// Bounds of TLS connections that were told CLOSE before their handshake. Their ClientHello
// may be on its way: a socket that is closed before it has come answers it with a reset,
// over which a client forgets what it has not read yet, and with it when to come again. So
// what comes is read away, for the time of a round trip and as much as a ClientHello has,
// of a number of them that takes few of the files that are no client's.
const (
	leaveTime    = time.Second
	leaveBytes   = 16 << 10
	leavesAtOnce = 64
)

// leaving counts the connections that are read away, and those that were not, because
// there were too many.
type leaving struct {
	now     atomic.Int64
	dropped atomic.Uint64
}

func (l *leaving) enter() bool {
	if l.now.Add(1) <= leavesAtOnce {
		return true
	}
	l.now.Add(-1)
	l.dropped.Add(1)
	return false
}

// sayClose says CLOSE without TLS, before the handshake: to make that would cost more than
// anything that a refusal is there to spare. Nothing was written to the socket, so it takes
// it at once.
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
