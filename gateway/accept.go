package gateway

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"gannet/protocol"
)

// newcomer is a connection of the plain listener between accept and netpoll, which
// wants it as a net.Conn: it takes the descriptor from it and the addresses, nothing
// else.
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

// admit gives a connection that was just accepted its place, or turns it away and
// gives nil: that costs no session. It owns the descriptor. It runs in the poller, so
// it survives what goes wrong with one connection.
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

// retryAfter gives the retry_after, in milliseconds, of a client that may come again
// after the wait: those who wait for the same thing come spread.
func retryAfter(wait time.Duration) uint32 {
	return uint32(min(wait, maxRetry).Milliseconds()) + drainDelay()
}

// sayClose writes a CLOSE to a socket that nothing was written to, so it takes it at
// once. What the client has sent by now is read, because a socket that is closed with
// unread bytes sends a reset, which may overtake the CLOSE in the client.
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

// gone says that an error of accept concerns the connection that was to be accepted,
// and not the listener: accept(2) has Linux pass on what the network says of it.
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

// acceptFailed counts and seldom logs a failure of accept that is not of one
// connection: no descriptor or no memory is free.
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
