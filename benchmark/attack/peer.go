package attack

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"gannet/benchmark/load"
	"gannet/protocol"
)

// peer is a connection of an attacker.
type peer struct {
	net.Conn
	site *Site
	tcp  *net.TCPConn
	stop func() bool // releases it from its context
	in   []byte      // what came and was not looked at
}

// client is who logs in, and from which of the attackers' addresses.
type client struct {
	from         int
	user, device uint64
	buffer       int  // of the socket for what comes; 0: the system's choice
	secure       bool // where TLS is spoken
}

// connect makes a connection that ends with ctx.
func (s *Site) connect(ctx context.Context, from int) (*peer, error) {
	conn, err := s.dial(ctx, s.Address, from)
	if err != nil {
		return nil, err
	}
	p := &peer{Conn: conn, tcp: conn, site: s}
	p.stop = context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return p, nil
}

// close ends the connection with a reset.
func (p *peer) close() {
	p.stop()
	reset(p.tcp)
}

// hello encodes the HELLO of a client.
func hello(token string, device uint64) []byte {
	return protocol.Hello{
		Version: protocol.Version, Token: []byte(token), Device: device, Platform: protocol.PlatformBot,
		Heartbeat: uint16(protocol.MaxHeartbeat / time.Second), Name: []byte(load.ClientName),
	}.AppendFrame(nil, 1)
}

// login connects and logs in. What went wrong is counted.
func (s *Site) login(ctx context.Context, c client) (*peer, error) {
	token, err := s.token(c.user)
	if err != nil {
		return nil, err
	}
	p, err := s.connect(ctx, c.from)
	if err != nil {
		return nil, err
	}
	if c.buffer > 0 {
		_ = p.tcp.SetReadBuffer(c.buffer)
	}
	if err := p.greet(ctx, hello(token, c.device)); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// greet says HELLO and waits for WELCOME; an echo welcomes by the HELLO itself.
func (p *peer) greet(ctx context.Context, hello []byte) error {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = p.SetDeadline(time.Unix(1, 0)) })()
	if _, err := p.Write(hello); err != nil {
		p.lost("login ", err)
		return err
	}
	f, err := p.next()
	switch {
	case err != nil && ctx.Err() == context.DeadlineExceeded:
		p.site.tally.end("login timeout")
		return err
	case err != nil:
		p.site.tally.ended("login ", err)
		return err
	case f.Type != protocol.TypeWelcome && !p.site.echo():
		return fmt.Errorf("benchmark: %v instead of WELCOME", f.Type)
	}
	return nil
}

// next waits for a frame and counts it. Its payload is good until the next call.
func (p *peer) next() (protocol.Frame, error) {
	for buf := make([]byte, 4<<10); ; {
		f, n, err := protocol.Split(p.in, protocol.MaxFrame)
		if err != nil {
			return f, err
		}
		if n > 0 {
			p.in = p.in[n:]
			p.site.tally.frame(f)
			return f, nil
		}
		got, err := p.Read(buf)
		p.in = append(p.in, buf[:got]...)
		if err != nil && got == 0 {
			return f, err
		}
	}
}

// listen counts what comes until the connection ends; answer hears of each frame that
// answers a request.
func (p *peer) listen(answer func(protocol.Frame)) {
	buf := make([]byte, 32<<10)
	for {
		taken := 0
		for {
			f, n, err := protocol.Split(p.in[taken:], protocol.MaxFrame)
			if err != nil {
				p.site.tally.end("unreadable")
				return
			}
			if n == 0 {
				break
			}
			taken += n
			p.site.tally.frame(f)
			if f.Request != 0 && answer != nil {
				answer(f)
			}
		}
		p.in = append(p.in[:0], p.in[taken:]...)
		n, err := p.Read(buf)
		p.in = append(p.in, buf[:n]...)
		if err != nil && n == 0 {
			p.site.tally.ended("", err)
			return
		}
	}
}

// lost counts a connection that took no more, by the reason that the server gave, if
// it can be found among what was not read.
func (p *peer) lost(where string, err error) {
	if peerEnded(err) != "" && !p.lastWords() {
		p.site.tally.ended(where, err)
	}
}

// lastWords looks for a CLOSE in what was not read.
func (p *peer) lastWords() (found bool) {
	_ = p.SetReadDeadline(time.Now().Add(farewell))
	for {
		f, err := p.next()
		if err != nil {
			return false
		}
		if f.Type == protocol.TypeClose {
			return true
		}
	}
}

// pumpWrite is how much goes out in one write.
const pumpWrite = 64 << 10

// pump keeps up to window requests under way until ctx is done or the connection has
// ended. next encodes one.
func (p *peer) pump(ctx context.Context, window int, next func(dst []byte, request uint32) []byte) {
	var under atomic.Int64
	wake, ended := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(ended)
		p.listen(func(protocol.Frame) {
			under.Add(-1)
			select {
			case wake <- struct{}{}:
			default:
			}
		})
	}()
	defer func() {
		_ = p.SetDeadline(time.Unix(1, 0))
		<-ended
	}()
	var out []byte
	for request := uint32(1); ctx.Err() == nil; {
		room := window - int(under.Load())
		if room <= 0 {
			select {
			case <-wake:
			case <-ended:
				return
			case <-ctx.Done():
				return
			}
			continue
		}
		out = out[:0]
		for ; room > 0 && len(out) < pumpWrite; room-- {
			request = max(1, request+1)
			out = next(out, request)
			under.Add(1)
		}
		if _, err := p.Write(out); err != nil {
			select {
			case <-ended: // the reader has found out why, or soon will
			case <-time.After(farewell):
			}
			return
		}
	}
}

// pour writes what next encodes and reads nothing, until ctx is done or the
// connection has ended.
func (p *peer) pour(ctx context.Context, next func(dst []byte, request uint32) []byte) {
	var out []byte
	for request := uint32(1); ctx.Err() == nil; {
		out = out[:0]
		for len(out) < pumpWrite {
			request = max(1, request+1)
			out = next(out, request)
		}
		if _, err := p.Write(out); err != nil {
			p.lost("", err)
			return
		}
	}
}

// keep logs a client in, lets do have the connection, and begins anew when it has
// ended, until ctx is done.
func (s *Site) keep(ctx context.Context, c client, there func(), do func(p *peer)) {
	address := s.Address
	if c.secure {
		address = s.tlsAddress()
	}
	for ; ctx.Err() == nil; rest(ctx) {
		p, err := s.enterAt(ctx, address, c)
		there()
		if err != nil {
			continue
		}
		do(p)
		p.close()
	}
}
