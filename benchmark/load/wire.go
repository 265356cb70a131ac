package load

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
)

// wire counts what goes over the connections of one client, all of them that it
// ever has. Its zero value is ready.
type wire struct {
	in, out       atomic.Uint64 // bytes
	reads, writes atomic.Uint64 // calls that moved something
	failed        atomic.Uint64 // attempts to connect
	dialer        net.Dialer
	gate          *gate // holds connects up; nil: none
}

// dial is for gannet.WithDialer.
func (w *wire) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if err := w.gate.pass(ctx); err != nil {
		return nil, err
	}
	c, err := w.dialer.DialContext(ctx, network, addr)
	if err != nil {
		w.failed.Add(1)
		return nil, err
	}
	return &countedConn{Conn: c, wire: w}, nil
}

// countedConn has of a TCP connection no more than the client uses, so that
// nothing goes past the counters.
type countedConn struct {
	net.Conn
	wire *wire
}

// CloseWrite ends the sending half, as that of net.TCPConn does.
func (c *countedConn) CloseWrite() error { return c.Conn.(*net.TCPConn).CloseWrite() }

func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.wire.in.Add(uint64(n))
		c.wire.reads.Add(1)
	}
	return n, err
}

func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if n > 0 {
		c.wire.out.Add(uint64(n))
		c.wire.writes.Add(1)
	}
	return n, err
}

// portsPerSource is how many connections to one address a loopback address is
// asked to make. The usual range of local ports holds 28,232, but the system
// searches ever longer for one that is free once half of them are taken.
const portsPerSource = 10_000

// DialerFor gives the dialer of connection i. To a server on this machine it
// goes from 127.0.0.1 at first, and from the next address when its ports run
// out; elsewhere the system chooses. Of several addresses, with commas between, all are
// on one side.
func DialerFor(server string, i int) (net.Dialer, error) {
	server, _, _ = strings.Cut(server, ",")
	addr, err := net.ResolveTCPAddr("tcp", server)
	if err != nil {
		return net.Dialer{}, fmt.Errorf("benchmark: %w", err)
	}
	if ip := addr.IP.To4(); ip == nil || !ip.IsLoopback() {
		return net.Dialer{}, nil
	}
	n := 1 + i/portsPerSource
	return DialerFrom(net.IPv4(127, 0, byte(n>>8), byte(n))), nil
}

// DialerFrom gives a dialer that connects from this address.
func DialerFrom(ip net.IP) net.Dialer {
	return net.Dialer{LocalAddr: &net.TCPAddr{IP: ip}, Control: choosePortLate}
}
