package attack

import (
	"context"
	"net"

	"gannet/protocol"
)

const (
	ackConnections = 16 // all devices that a user may have connected
	ackPeers       = 256
	ackPadding     = 68000 // nearly the largest frame
)

func acks(ctx context.Context, s *Site)       { s.ackFlood(ctx, 0, s.Address) }
func paddedAcks(ctx context.Context, s *Site) { s.ackFlood(ctx, ackPadding, s.Address) }

func tlsAcks(ctx context.Context, s *Site) {
	s.ackFlood(ctx, 0, s.tlsAddress())
}

// ackFlood has all devices of a user send PUSHACKs that nobody answers, with so many
// bytes that mean nothing behind their fields.
func (s *Site) ackFlood(ctx context.Context, padding int, address string) {
	s.crew(ackConnections, func(i int, there func()) {
		for ; ctx.Err() == nil; rest(ctx) {
			p, err := s.enterAt(ctx, address, client{user: user(0), device: uint64(1 + i)})
			there()
			if err != nil {
				continue
			}
			go p.listen(nil)
			k := uint64(0)
			p.pour(ctx, func(dst []byte, _ uint32) []byte {
				k++
				ack := protocol.Cursor{Target: to(user(1000 + int(k%ackPeers))), Seq: 1}.AppendPushAck(nil, 0)
				if padding == 0 {
					return append(dst, ack...)
				}
				f, _, _ := protocol.Split(ack, protocol.MaxFrame)
				f.Payload = append(f.Payload, make([]byte, padding)...)
				return f.Append(dst)
			})
			p.close()
		}
	})
}

// enterAt logs in at one of the addresses of the server.
func (s *Site) enterAt(ctx context.Context, address string, c client) (*peer, error) {
	if address == s.Address {
		return s.login(ctx, c)
	}
	conn, err := s.dial(ctx, address, c.from)
	if err != nil {
		return nil, err
	}
	var above net.Conn
	if above, err = s.handshake(ctx, conn); err != nil {
		reset(conn)
		return nil, err
	}
	token, err := s.token(c.user)
	if err != nil {
		reset(conn)
		return nil, err
	}
	p := &peer{Conn: above, tcp: conn, site: s}
	p.stop = context.AfterFunc(ctx, func() { reset(conn) })
	if err := p.greet(ctx, hello(token, c.device)); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}
