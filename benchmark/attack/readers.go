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

	// readerWriters is how many users write to them.
	readerWriters = 5
)

// written runs n readers and those who write to them.
func written(ctx context.Context, s *Site, n, buffer int, read func(p *peer)) {
	users := (n + readerDevices - 1) / readerDevices
	readers := make(chan struct{}, n)
	s.crew(n+readerWriters, func(i int, there func()) {
		if i < n {
			arrived := false
			c := client{from: i / perAddress, user: user(1000 + i/readerDevices), device: uint64(1 + i%readerDevices), buffer: buffer}
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
		writer := i - n
		for range n / readerWriters { // all of them together wait for all readers
			select {
			case <-readers:
			case <-ctx.Done():
				return
			}
		}
		s.keep(ctx, client{from: 100 + writer, user: user(writer), device: 1}, there, func(p *peer) {
			p.pump(ctx, protocol.MaxUnacked, func(dst []byte, request uint32) []byte {
				id++
				to := to(user(1000 + (int(id)*readerWriters+writer)%users))
				return protocol.Send{Target: to, ClientID: id, Content: protocol.ContentFile, Body: body}.AppendFrame(dst, request)
			})
		})
	})
}

// deafReaders read nothing at all.
func deafReaders(ctx context.Context, s *Site) {
	written(ctx, s, s.scale(2000, 160), 0, func(p *peer) {
		p.stop()
		<-ctx.Done()
		p.lastWords()
	})
}

// slowReaders read a byte and rest.
func slowReaders(ctx context.Context, s *Site) {
	written(ctx, s, s.scale(800, 80), readerBuffer, func(p *peer) {
		b := make([]byte, 1)
		for meter.Rest(ctx, slowPause) == nil {
			if _, err := p.Read(b); err != nil {
				p.site.tally.ended("", err)
				return
			}
		}
	})
}
