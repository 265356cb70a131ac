package attack

import (
	"context"
	"encoding/binary"
	"math/rand/v2"

	"gannet/protocol"
)

// garbage says what no client says: before login, in place of it, and after it.
func garbage(ctx context.Context, s *Site) {
	s.crew(2*floods, func(i int, there func()) {
		chance := s.random(i)
		token, err := s.token(user(i))
		there()
		if err != nil {
			return
		}
		for n := 0; ctx.Err() == nil; n++ {
			from := i + 2*floods*(n%16)
			if n%2 == 0 {
				s.say(ctx, from, nonsense(chance, hello(token, 1)))
				continue
			}
			p, err := s.login(ctx, client{from: from, user: user(i), device: uint64(1 + n%4)})
			if err != nil {
				rest(ctx)
				continue
			}
			s.babble(p, chance, token)
			p.close()
		}
	})
}

// nonsense makes the first bytes of a connection.
func nonsense(chance *rand.Rand, hello []byte) []byte {
	lie := func(length uint32) []byte { return binary.BigEndian.AppendUint32(nil, length) }
	switch chance.IntN(8) {
	case 0:
		return append(lie(0), hello[4:]...)
	case 1:
		return append(lie(5), hello[4:]...)
	case 2:
		return append(lie(1<<32-1), hello[4:]...)
	case 3:
		return append(lie(protocol.MaxHello+1), hello[4:]...)
	case 4: // of the right length, and nothing in it
		return protocol.Frame{Type: protocol.TypeHello, Request: 1, Payload: []byte{0}}.Append(nil)
	case 5: // ends amid its token
		cut := append([]byte(nil), hello[:20]...)
		binary.BigEndian.PutUint32(cut, uint32(len(cut)-4))
		return cut
	case 6: // two at once
		return append(append([]byte(nil), hello...), hello...)
	}
	return noise(chance, 1+chance.IntN(9000))
}

// noise gives random bytes.
func noise(chance *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(chance.Uint32())
	}
	return b
}

// babble says what nobody says once logged in: frames of any type with anything in
// them, a second HELLO, and at last something that cannot be a frame, or half of one.
func (s *Site) babble(p *peer, chance *rand.Rand, token string) {
	const frames = 200
	var b []byte
	for range frames {
		b = protocol.Frame{
			Type: protocol.Type(chance.Uint32()), Flags: uint8(chance.Uint32()), Request: chance.Uint32(), Payload: noise(chance, chance.IntN(64)),
		}.Append(b)
	}
	b = append(b, hello(token, 1)...)
	last := noise(chance, 4)
	if chance.IntN(4) == 0 { // half a frame, of the largest size
		last = append(binary.BigEndian.AppendUint32(nil, protocol.MaxFrame), noise(chance, 40_000)...)
	}
	b = append(b, last...)
	if _, err := p.Write(b); err != nil {
		p.lost("", err)
		return
	}
	// Half a frame ends nothing: who sent it goes.
	p.lastWords()
}
