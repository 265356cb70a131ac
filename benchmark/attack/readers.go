package attack

import (
	"context"
	"time"

	"gannet/benchmark/meter"
	"gannet/protocol"
)

const (
	// readerDevices is how many devices a user has who does not read: each message
	// goes to all of them.
	readerDevices = 16

	// readerBody fills sockets soon.
	readerBody = 8 << 10

	// readerBuffer is what a slow reader's own socket takes at most.
	readerBuffer = 4 << 10

	// slowPause is how long a slow reader rests after each byte.
	slowPause = 100 * time.Millisecond

	// readerWriters is how many users write to them, each a message in writePause: half of
	// what a user may, so that no limit stands before the readers.
	readerWriters = 24
	writePause    = 16 * time.Millisecond

	// writeWindow is how many of these may be on their way.
	writeWindow = 64
)

// written runs n readers, over TLS or not, and those who write to them.
func written(ctx context.Context, s *Site, n int, reader client, read func(p *peer)) {
	users := (n + readerDevices - 1) / readerDevices
	readers := make(chan struct{}, n)
	s.crew(n+readerWriters, func(i int, there func()) {
		if i < n {
			arrived := false
			c := reader
			c.from, c.user, c.device = i/perAddress, user(1000+i/readerDevices), uint64(1+i%readerDevices)
			s.keep(ctx, c, func() {
				there()
				if !arrived {
					arrived = true
					readers <- struct{}{}
				}
			}, read)
			return
		}
		body, id := make([]byte, readerBody), uint64(0)
		each := max(1, users/readerWriters) // to so few, for the heap is to be back afterwards, and conversations stay in it
		writer := i - n
		for range n / readerWriters { // all of them together wait for all readers
			select {
			case <-readers:
			case <-ctx.Done():
				return
			}
		}
		s.keep(ctx, client{from: 100 + writer, user: user(writer), device: 1}, there, func(p *peer) {
			began, before := time.Now(), id
			p.pump(ctx, writeWindow, func(dst []byte, request uint32) []byte {
				id++
				_ = meter.Rest(ctx, time.Until(began.Add(time.Duration(id-before)*writePause)))
				to := to(user(1000 + (writer+int(id)%each*readerWriters)%users))
				return protocol.Send{Target: to, ClientID: id, Content: protocol.ContentFile, Body: body}.AppendFrame(dst, request)
			})
		})
	})
}

// deafReaders read nothing at all.
func deafReaders(ctx context.Context, s *Site) {
	written(ctx, s, s.scale(2000, 160), client{}, func(p *peer) { p.endure(ctx) })
}

// tlsDeafReaders do so over TLS, which has buffers of its own.
func tlsDeafReaders(ctx context.Context, s *Site) {
	written(ctx, s, s.scale(1000, 96), client{secure: true}, func(p *peer) { p.endure(ctx) })
}

// endure reads nothing until the end of the attack.
func (p *peer) endure(ctx context.Context) {
	p.stop()
	<-ctx.Done()
	p.lastWords()
}

// slowReaders read a byte and rest.
func slowReaders(ctx context.Context, s *Site) {
	written(ctx, s, s.scale(800, 80), client{buffer: readerBuffer}, func(p *peer) {
		b := make([]byte, 1)
		for meter.Rest(ctx, slowPause) == nil {
			if _, err := p.Read(b); err != nil {
				p.site.tally.ended("", err)
				return
			}
		}
	})
}
