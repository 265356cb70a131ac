package yardstick

import (
	"context"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/cloudwego/netpoll"

	"gannet/protocol"
)

// bareConn is a connection of a BareServer.
type bareConn struct {
	context.Context
	bare    *bare
	fd      int
	user    uint64
	partial []byte
	out     []byte // the writer's

	mu   sync.Mutex // held to use fd, which may be somebody else's once it is closed
	gone bool
}

// end is called before the socket is closed.
func (c *bareConn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
}

// read runs on the poller.
func (c *bareConn) read(conn netpoll.Connection) error {
	r := conn.Reader()
	p, err := r.Next(r.Len())
	if err != nil {
		return err
	}
	if len(c.partial) > 0 {
		c.partial = append(c.partial, p...)
		p = c.partial
	}
	taken := 0
	for {
		f, n, err := protocol.Split(p[taken:], protocol.MaxFrame)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		taken += n
		if err := c.frame(f); err != nil {
			return err
		}
	}
	c.partial = append(c.partial[:0], p[taken:]...)
	return r.Release()
}

func (c *bareConn) frame(f protocol.Frame) error {
	b := c.bare
	switch f.Type {
	case protocol.TypeHello:
		var hello protocol.Hello
		if err := hello.Decode(f.Payload); err != nil {
			return err
		}
		user, err := strconv.ParseUint(string(hello.Token), 10, 64)
		if err != nil {
			return err
		}
		c.user = user
		b.mu.Lock()
		b.users[user] = c
		b.mu.Unlock()
		return c.write(protocol.Welcome{
			Version: hello.Version, User: user, Time: uint64(time.Now().UnixMilli()), Heartbeat: 600,
			MaxFrame: protocol.MaxFrame, MaxBody: protocol.MaxBody, MaxUnacked: protocol.MaxUnacked,
		}.AppendFrame(nil, f.Request))
	case protocol.TypeSync:
		return c.write(protocol.Synced{Next: uint64(time.Now().UnixMilli())}.Finish(
			protocol.Synced{}.AppendFrame(nil, f.Request), 0))
	case protocol.TypePing:
		return c.write(protocol.AppendEmpty(nil, protocol.TypePong, f.Request))
	case protocol.TypeSend:
		b.mu.Lock()
		start := len(b.filling.payloads)
		b.filling.payloads = append(b.filling.payloads, f.Payload...)
		b.filling.sends = append(b.filling.sends, bareSend{c, f.Request, start, len(b.filling.payloads)})
		first := len(b.filling.sends) == 1
		b.mu.Unlock()
		if first {
			select {
			case b.wake <- struct{}{}:
			default:
			}
		}
	}
	return nil // PUSHACK and the like are not kept
}

// write is only for what is small and comes when nothing else is under way. What is for
// somebody who has gone is dropped.
func (c *bareConn) write(p []byte) error {
	for len(p) > 0 {
		n, err := c.try(p)
		if err != nil && err != syscall.EAGAIN && err != syscall.EINTR {
			return err
		}
		if n > 0 {
			p = p[n:]
		} else {
			time.Sleep(time.Millisecond)
		}
	}
	return nil
}

// try writes what the socket takes.
func (c *bareConn) try(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return 0, net.ErrClosed
	}
	return syscall.Write(c.fd, p)
}
