package gateway

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"gannet/protocol"
)

// newcomer is a connection of the plain listener between accept and netpoll. netpoll wants a
// net.Conn; it takes only the descriptor and the addresses from it.
type newcomer struct {
	net.Conn // nil; netpoll reads and writes by itself
	fd       int
	local    net.Addr
	place    place
	places   *places
	proxied  bool // begins with a PROXY header
}

func (c *newcomer) Fd() int              { return c.fd }
func (c *newcomer) LocalAddr() net.Addr  { return c.local }
func (c *newcomer) RemoteAddr() net.Addr { return c }
func (c *newcomer) Close() error         { return unix.Close(c.fd) }
func (c *newcomer) Network() string      { return "tcp" }
func (c *newcomer) String() string       { return c.places.whose(&c.place).String() }

// admit gives a place to a connection that was just accepted. If there is none, it turns the
// connection away and returns nil, which costs no session. It owns the descriptor. It runs in the
// poller, so a panic over one connection must not get out of it.
func (g *Gateway) admit(fd int, from netip.AddrPort, local net.Addr) (c *newcomer) {
	n := &newcomer{fd: fd, local: local, place: place{from: from}, places: &g.places, proxied: g.proxies.contain(from.Addr())}
	defer func() {
		if cause := recover(); cause != nil {
			g.panicked("accept", cause)
			g.counters.close(protocol.CodeInternal)
		}
		if c == nil {
			g.places.leave(&n.place)
			_ = unix.Close(fd)
		}
	}()
	g.counters.accepted.Add(1)
	r, wait := g.places.take(&n.place, n.proxied)
	if r == admitted {
		boundUnsent(fd)
		return n
	}
	g.refused(r, from)
	g.counters.close(r.code())
	sayClose(fd, r.code(), retryAfter(wait))
	return nil
}

// refused counts and seldom logs that a connection is not let in.
func (g *Gateway) refused(r refusal, from netip.AddrPort) {
	g.counters.refused[r].Add(1)
	if g.said.refused[r].Now() {
		g.log.Warn("gateway: connections are refused: "+refusalNames[r], "remote", from)
	}
}

// retryAfter gives the retry_after, in milliseconds, of a client that may come again after the
// wait. It adds a random delay, so that clients that wait for the same thing do not all come at
// once.
func retryAfter(wait time.Duration) uint32 {
	return uint32(min(wait, maxRetry).Milliseconds()) + drainDelay()
}

// sayClose writes a CLOSE to a socket to which nothing was written yet, so the socket takes it at
// once. Then it reads what the client has sent by now: a socket that is closed with unread bytes
// sends a reset, which may reach the client before it has read the CLOSE.
func sayClose(fd int, code protocol.Code, retryAfter uint32) {
	var frame [closeBytes]byte
	f := protocol.Failure{Code: code, RetryAfter: retryAfter, Text: []byte(code.Meaning())}
	_, _ = unix.Write(fd, f.AppendClose(frame[:0]))
	var hello [protocol.MaxHello]byte
	_, _ = unix.Read(fd, hello[:])
}

// peerOf gives the address that accept tells.
func peerOf(address unix.Sockaddr) netip.AddrPort {
	switch a := address.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// addressOf gives the address of a peer as the gateway keeps it.
func addressOf(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		from := tcp.AddrPort()
		return netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port())
	}
	return netip.AddrPort{}
}

// gone says that an error of accept is about the connection and not about the listener: on Linux
// accept(2) passes on network errors of the new connection.
func gone(err error) bool {
	for _, e := range []error{
		unix.EINTR, unix.ECONNABORTED, unix.EPERM, unix.EPROTO, unix.ENETDOWN, unix.ENOPROTOOPT,
		unix.EHOSTDOWN, unix.EHOSTUNREACH, unix.EOPNOTSUPP, unix.ENETUNREACH,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// acceptFailed counts, and sometimes logs, a failure of accept that is not about one connection:
// no descriptor or no memory is free.
func (g *Gateway) acceptFailed(err error) {
	g.counters.acceptFailed.Add(1)
	if g.said.accept.Now() {
		g.log.Error("gateway: connections cannot be accepted for the moment", "error", err)
	}
}

// rest waits for a while, or until Stop.
func (g *Gateway) rest(d time.Duration) {
	select {
	case <-time.After(d):
	case <-g.stop:
	}
}
