package attack

import (
	"context"
	"net"
)

// perAddress is how many sockets come from one of the attackers' addresses where
// there are many: as many as a household behind one address may have.
const perAddress = 100

// silent opens sockets that say nothing; who is sent away comes again.
func silent(ctx context.Context, s *Site) {
	s.crew(s.scale(2500, 200), func(i int, there func()) {
		for ; ctx.Err() == nil; rest(ctx) {
			p, err := s.connect(ctx, i/perAddress)
			there()
			if err != nil {
				continue
			}
			p.listen(nil)
			p.close()
		}
	})
}

// tlsAddress is where TLS is spoken; an echo without TLS gets plain sockets.
func (s *Site) tlsAddress() string {
	if s.TLS == "" {
		return s.Address
	}
	return s.TLS
}

// tlsSilent opens sockets where TLS is spoken and begins no handshake.
func tlsSilent(ctx context.Context, s *Site) {
	s.crew(s.scale(2500, 200), func(i int, there func()) {
		for ; ctx.Err() == nil; rest(ctx) {
			conn, err := s.dial(ctx, s.tlsAddress(), i/perAddress)
			there()
			if err == nil {
				s.awaitEnd(ctx, conn, conn)
			}
		}
	})
}

// tlsNoHello makes TLS connections and says nothing on them.
func tlsNoHello(ctx context.Context, s *Site) {
	s.crew(s.scale(1000, 100), func(i int, there func()) {
		for ; ctx.Err() == nil; rest(ctx) {
			conn, err := s.dial(ctx, s.tlsAddress(), i/perAddress)
			if err != nil {
				there()
				continue
			}
			var c net.Conn = conn
			if s.TLS != "" {
				c, err = s.handshake(ctx, conn)
			}
			there()
			if err != nil {
				reset(conn)
				continue
			}
			s.awaitEnd(ctx, conn, c)
		}
	})
}

// awaitEnd counts what comes over a connection until it ends.
func (s *Site) awaitEnd(ctx context.Context, tcp *net.TCPConn, conn net.Conn) {
	p := &peer{Conn: conn, tcp: tcp, site: s}
	p.stop = context.AfterFunc(ctx, func() { reset(tcp) })
	p.listen(nil)
	p.close()
}
