package attack

import (
	"context"
	"time"

	"gannet/benchmark/meter"
	"gannet/protocol"
)

const (
	// begunRest is what is left of the frames that are begun, and begunPause how often a
	// byte of it follows.
	begunRest  = 4 << 10
	begunPause = time.Second
)

// begunFrames has clients begin the longest frame, of which the server has to keep nearly
// all, and send a byte of it now and then, so that none of them is silent.
func begunFrames(ctx context.Context, s *Site) {
	n := s.scale(2000, 160)
	s.crew(n, func(i int, there func()) {
		p := client{from: i / perAddress, user: user(1000 + i/readerDevices), device: uint64(1 + i%readerDevices)}
		frame := protocol.Send{
			Target: to(user(1)), ClientID: 1, Content: protocol.ContentFile, Body: make([]byte, protocol.MaxBody),
		}.AppendFrame(nil, 1)
		s.keep(ctx, p, there, func(p *peer) {
			go func() { // for the reason of its end
				p.listen(nil)
				p.close()
			}()
			cut := len(frame) - begunRest
			_, err := p.Write(frame[:cut])
			for ; err == nil && cut < len(frame)-1 && meter.Rest(ctx, begunPause) == nil; cut++ {
				_, err = p.Write(frame[cut : cut+1])
			}
		})
	})
}
