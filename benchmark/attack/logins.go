package attack

import (
	"context"
	"encoding/binary"
	"time"

	"gannet/protocol"
)

const (
	// floods is how many clients of a flood there are at a time.
	floods = 8

	// manyAddresses is from how many addresses one of them comes where that is meant
	// to get past what limits an address.
	manyAddresses = 64
)

// connects opens a connection and ends it at once, in turn by a reset and by an end.
func connects(ctx context.Context, s *Site) {
	s.crew(floods, func(i int, there func()) {
		for n := 0; ctx.Err() == nil; n++ {
			conn, err := s.dial(ctx, s.Address, i+floods*(n%manyAddresses))
			there()
			switch {
			case err != nil:
				rest(ctx)
			case n%2 == 0:
				reset(conn)
			default:
				_ = conn.Close()
			}
		}
	})
}

// byePatience is longer than a server waits for the rest of a HELLO.
const byePatience = 2 * protocol.LoginTimeout

// bye counts how the server ends a connection that has said its last word.
func (p *peer) bye() {
	defer time.AfterFunc(byePatience, func() { _ = p.SetDeadline(time.Unix(1, 0)) }).Stop()
	if p.site.echo() {
		_, _ = p.Read(make([]byte, 16<<10))
		return
	}
	for {
		f, err := p.next()
		if err != nil {
			p.site.tally.ended("", err)
			return
		}
		if f.Type == protocol.TypeClose {
			return
		}
	}
}

// say connects, says these bytes, and counts how it ends.
func (s *Site) say(ctx context.Context, from int, b []byte) {
	p, err := s.connect(ctx, from)
	if err != nil {
		rest(ctx)
		return
	}
	defer p.close()
	if _, err := p.Write(b); err != nil {
		p.lost("", err)
		return
	}
	p.bye()
}

// badTokens logs in with tokens that are nearly right, and with some that are not.
func badTokens(ctx context.Context, s *Site) {
	s.crew(floods, func(i int, there func()) {
		chance := s.random(i)
		good, err := s.token(user(i))
		there()
		for n := uint64(1); err == nil && ctx.Err() == nil; n++ {
			token := []byte(good)
			if n%4 == 0 { // nothing like a token
				for at := range token {
					token[at] = byte(chance.Uint32())
				}
			} else { // a signature that has to be checked
				at := len(token) - 2 - chance.IntN(40)
				token[at] = 'A' + (token[at]-'A'+1)%26
			}
			s.say(ctx, i+floods*int(n%manyAddresses), hello(string(token), n))
		}
	})
}

// proxyHeaders says, in both versions of the PROXY protocol, that it is somebody else.
func proxyHeaders(ctx context.Context, s *Site) {
	s.crew(floods, func(i int, there func()) {
		chance := s.random(i)
		token, err := s.token(user(i))
		there()
		for n := uint64(1); err == nil && ctx.Err() == nil; n++ {
			var b []byte
			switch n % 3 {
			case 0:
				b = []byte("PROXY TCP4 10.0.0.1 10.0.0.2 1024 7420\r\n")
			case 1: // for another address
				b = append(b, "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c"...)
				b = binary.BigEndian.AppendUint32(b, chance.Uint32())
				b = binary.BigEndian.AppendUint32(b, chance.Uint32())
				b = binary.BigEndian.AppendUint32(b, chance.Uint32())
			default: // with a length that is a lie
				b = append(b, "\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff"...)
			}
			s.say(ctx, i, append(b, hello(token, n)...))
		}
	})
}

// devices logs 5,000 devices of one user in, one after the other; each sends to the
// same user and acks.
func devices(ctx context.Context, s *Site) {
	const parallel = 4
	each := s.scale(5000, 200) / parallel
	s.crew(parallel, func(i int, there func()) {
		there()
		for n := 0; n < each && ctx.Err() == nil; n++ {
			at := n*parallel + i
			p, err := s.login(ctx, client{from: at % 64, user: user(0), device: uint64(1 + at)})
			if err != nil {
				rest(ctx)
				continue
			}
			to := protocol.Target{Kind: protocol.KindDirect, ID: user(1)}
			send := protocol.Send{Target: to, ClientID: uint64(1 + at), Content: protocol.ContentText, Body: []byte("hello")}
			if _, err := p.Write(send.AppendFrame(nil, 2)); err == nil {
				p.awaitAnswer(2)
				_, _ = p.Write(protocol.Cursor{Target: to, Seq: 1}.AppendPushAck(nil, 3))
				p.awaitAnswer(3)
			}
			p.close()
		}
		<-ctx.Done()
	})
}

// awaitAnswer reads up to the answer of a request.
func (p *peer) awaitAnswer(request uint32) {
	for {
		f, err := p.next()
		if err != nil {
			p.site.tally.ended("", err)
			return
		}
		if f.Request == request {
			return
		}
	}
}
