package attack

import (
	"context"
	"time"

	"gannet/protocol"
)

// What the users of a server in use do within its limits: so many of them write to each
// other, some at the same time, and ask for what they have missed.
const (
	usualUsers  = 64
	usualWindow = 32
	usualTime   = 2 * time.Second

	// usualFirst is the first of their addresses and users, beyond those of any attack.
	usualFirst = 20_000
)

// usualSizes are of their bodies: mostly short, and now and then as large as may be.
var usualSizes = [...]int{100, 200, 100, 1000, 100, 4000, 200, 100, 16_000, 100, 200, protocol.MaxBody}

// Usual uses a server as its users do, for a moment, so that what it keeps in memory for
// its work is there: buffers that have grown to their size, caches that are not empty.
func Usual(ctx context.Context, v Victim) {
	ctx, cancel := context.WithTimeout(ctx, usualTime)
	defer cancel()
	s := NewSite(v)
	body := noise(s.random(0), protocol.MaxBody)
	s.crew(usualUsers, func(i int, there func()) {
		me, other := usualFirst+i, user(usualFirst+i^1)
		s.keep(ctx, client{from: me, user: user(me), device: 1}, there, func(p *peer) {
			n := uint64(0)
			p.pump(ctx, usualWindow, func(dst []byte, request uint32) []byte {
				switch n++; n % 16 {
				case 3:
					return protocol.Cursor{Target: to(other), Seq: n}.AppendPushAck(dst, request)
				case 7:
					return protocol.Cursor{Target: to(other), Seq: n}.AppendRead(dst, request)
				}
				size := usualSizes[n%uint64(len(usualSizes))]
				return protocol.Send{Target: to(other), ClientID: n, Content: protocol.ContentFile, Body: body[:size]}.AppendFrame(dst, request)
			})
		})
	})
}
