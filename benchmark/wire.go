package benchmark

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
)

// wire counts what goes over the connections of one client, all of them that it
// ever has. Its zero value is ready.
type wire struct {
	in, out       atomic.Uint64 // bytes
	reads, writes atomic.Uint64 // calls that moved something
	source        net.Addr      // to connect from; nil leaves it to the system
}

// dial is for gannet.WithDialer.
func (w *wire) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: w.source}
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &countedConn{Conn: c, wire: w}, nil
}

type countedConn struct {
	net.Conn
	wire *wire
}

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
// asked to make: the usual range of local ports holds 28,232, some of which
// others may have.
const portsPerSource = 20_000

// loopbackSource gives the address from which connection i goes to a server on
// this machine: 127.0.0.1 at first, the next one when its ports run out. For a
// server elsewhere it is nil.
func loopbackSource(server string, i int) (net.Addr, error) {
	addr, err := net.ResolveTCPAddr("tcp", server)
	if err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	if ip := addr.IP.To4(); ip == nil || !ip.IsLoopback() {
		return nil, nil
	}
	n := 1 + i/portsPerSource
	return &net.TCPAddr{IP: net.IPv4(127, 0, byte(n>>8), byte(n))}, nil
}
