package attack

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"time"

	"gannet/benchmark/meter"
	"gannet/protocol"
)

// tlsRecords begins long frames over TLS and sends each byte as a record of its own.
func tlsRecords(ctx context.Context, s *Site) {
	frame := protocol.Send{Target: to(user(1000)), ClientID: 1, Content: protocol.ContentFile, Body: make([]byte, protocol.MaxBody)}.AppendFrame(nil, 1)
	s.crew(s.scale(64, 8), func(i int, there func()) {
		s.keep(ctx, client{from: i / 8, user: user(i / 8), device: uint64(1 + i%8), secure: true}, there, func(p *peer) {
			over := make(chan struct{})
			go func() {
				defer close(over)
				p.listen(nil)
			}()
			for at := 0; ctx.Err() == nil; at = (at + 1) % len(frame) {
				if _, err := p.Write(frame[at : at+1]); err != nil {
					break
				}
			}
			_ = p.tcp.SetDeadline(time.Unix(1, 0))
			<-over
		})
	})
}

// hellosPause is between two rounds of tlsHellos: so long that each address may connect
// as often again.
const hellosPause = 5 * time.Second

// tlsHellos opens sockets, and then begins a handshake on all of them at once, with one
// ClientHello that costs its sender nothing.
func tlsHellos(ctx context.Context, s *Site) {
	hello := clientHello(ctx)
	s.crew(1, func(_ int, there func()) {
		for ; ctx.Err() == nil; _ = meter.Rest(ctx, hellosPause) {
			var conns []*net.TCPConn
			for i := range s.scale(1700, 170) {
				if conn, err := s.dial(ctx, s.tlsAddress(), i/perAddress); err == nil {
					conns = append(conns, conn)
				}
			}
			there()
			for _, conn := range conns {
				_, _ = conn.Write(hello)
			}
			_ = meter.Rest(ctx, time.Second)
			for _, conn := range conns {
				reset(conn)
			}
		}
	})
}

// clientHello gives the first record that crypto/tls sends.
func clientHello(ctx context.Context) []byte {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	go func() {
		_ = tls.Client(ours, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx)
		ours.Close()
	}()
	hello := make([]byte, 5)
	if _, err := io.ReadFull(theirs, hello); err != nil {
		return nil // the attack is over
	}
	hello = append(hello, make([]byte, binary.BigEndian.Uint16(hello[3:]))...)
	if _, err := io.ReadFull(theirs, hello[5:]); err != nil {
		return nil
	}
	return hello
}
