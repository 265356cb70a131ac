package attack

import (
	"context"
	"errors"

	"gannet/protocol"
)

// to is a conversation with a user.
func to(user uint64) protocol.Target {
	return protocol.Target{Kind: protocol.KindDirect, ID: user}
}

// text is a short message.
var text = []byte("a message that nobody has asked for")

// largeBodies keeps a whole window of the largest messages on their way, from one
// device to one user.
func largeBodies(ctx context.Context, s *Site) { s.sendLarge(ctx, 1, protocol.MaxUnacked) }

// disk has fewer on the way than the server refuses, from many users: nearly all that is
// sent has to be written.
func disk(ctx context.Context, s *Site) { s.sendLarge(ctx, 32, 4) }

// sendLarge has senders who each keep a window of the largest messages on their way.
func (s *Site) sendLarge(ctx context.Context, senders, window int) {
	body := noise(s.random(0), protocol.MaxBody)
	s.crew(senders, func(i int, there func()) {
		id := uint64(0)
		s.keep(ctx, client{from: i, user: user(i), device: 1}, there, func(p *peer) {
			p.pump(ctx, window, func(dst []byte, request uint32) []byte {
				id++
				return protocol.Send{Target: to(user(1000 + i)), ClientID: id, Content: protocol.ContentFile, Body: body}.AppendFrame(dst, request)
			})
		})
	})
}

// seed sends messages as client c until n of each target are acked; message i goes to
// target i mod targets under client id i+1.
func (s *Site) seed(ctx context.Context, c client, targets []uint64, n int, body []byte) error {
	// What goes on to the end is sent for nothing there; what is over the window in bytes
	// is refused.
	window := min(500, n*len(targets), protocol.MaxWindowBytes/(len(body)+protocol.HeaderSize))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p, err := s.login(ctx, c)
	if err != nil {
		return err
	}
	defer p.close()
	before := s.tally.frames[protocol.TypeSendAck].Load()
	want, i := uint64(n*len(targets)), uint64(0)
	p.pump(ctx, window, func(dst []byte, request uint32) []byte {
		if s.tally.frames[protocol.TypeSendAck].Load()-before >= want {
			cancel()
		}
		i++
		return protocol.Send{
			Target: to(targets[int(i-1)%len(targets)]), ClientID: i, Content: protocol.ContentText, Body: body,
		}.AppendFrame(dst, request)
	})
	if acked := s.tally.frames[protocol.TypeSendAck].Load() - before; acked < want {
		return errors.New("the server took too few messages")
	}
	return nil
}

// What is sent again by old-ids.
const (
	oldTargets = 40
	oldShort   = 10                          // targets in a short attack
	oldEach    = 2*protocol.MaxUnacked + 100 // of each target: more than one load of a window finds
	oldBody    = 2 << 10
)

// oldPeers gives whom old-ids writes to.
func (s *Site) oldPeers() []uint64 {
	peers := make([]uint64, s.scale(oldTargets, oldShort))
	for i := range peers {
		peers[i] = user(1000 + i)
	}
	return peers
}

func seedOldIDs(ctx context.Context, s *Site) error {
	return s.seed(ctx, client{user: user(0), device: 1}, s.oldPeers(), oldEach, make([]byte, oldBody))
}

// oldIDs sends old client ids again, the right one in each conversation or one that
// never was there, from one connection.
func oldIDs(ctx context.Context, s *Site) {
	s.crew(1, func(_ int, there func()) {
		chance, peers, turn := s.random(0), s.oldPeers(), 0
		s.keep(ctx, client{user: user(0), device: 1}, there, func(p *peer) {
			p.pump(ctx, protocol.MaxUnacked, func(dst []byte, request uint32) []byte {
				turn++
				target := turn % len(peers)
				id := uint64(chance.IntN(oldEach)*len(peers)+target) + 1
				if turn%3 == 0 && id > 1 {
					id-- // of another conversation
				}
				return protocol.Send{Target: to(peers[target]), ClientID: id, Content: protocol.ContentText, Body: text}.AppendFrame(dst, request)
			})
		})
	})
}

// repeatedIDs sends each message a thousand times at once.
func repeatedIDs(ctx context.Context, s *Site) {
	const times = 1000
	s.crew(1, func(_ int, there func()) {
		n := uint64(0)
		s.keep(ctx, client{user: user(0), device: 1}, there, func(p *peer) {
			p.pump(ctx, protocol.MaxUnacked, func(dst []byte, request uint32) []byte {
				n++
				return protocol.Send{Target: to(user(1)), ClientID: 1 + n/times, Content: protocol.ContentText, Body: text}.AppendFrame(dst, request)
			})
		})
	})
}

// newConversations writes to a new user with every message.
func newConversations(ctx context.Context, s *Site) {
	s.crew(1, func(_ int, there func()) {
		chance, id := s.random(0), uint64(0)
		s.keep(ctx, client{user: user(0), device: 1}, there, func(p *peer) {
			p.pump(ctx, protocol.MaxUnacked, func(dst []byte, request uint32) []byte {
				id++
				return protocol.Send{Target: to(1 + chance.Uint64N(firstUser-1)), ClientID: id, Content: protocol.ContentText, Body: text}.AppendFrame(dst, request)
			})
		})
	})
}

// refusedSends sends many times more than the window allows, in four conversations,
// and does not wait when it is told to.
func refusedSends(ctx context.Context, s *Site) {
	s.crew(4, func(i int, there func()) {
		id := uint64(0)
		s.keep(ctx, client{from: i, user: user(i), device: 1}, there, func(p *peer) {
			p.pump(ctx, 16*protocol.MaxUnacked, func(dst []byte, request uint32) []byte {
				id++
				return protocol.Send{Target: to(user(100 + i)), ClientID: id, Content: protocol.ContentText, Body: text}.AppendFrame(dst, request)
			})
		})
	})
}

// strangers acks and reads what users have sent whom nobody knows.
func strangers(ctx context.Context, s *Site) {
	s.crew(2, func(i int, there func()) {
		chance := s.random(i)
		s.keep(ctx, client{from: i, user: user(i), device: 1}, there, func(p *peer) {
			p.pump(ctx, 4*protocol.MaxUnacked, func(dst []byte, request uint32) []byte {
				c := protocol.Cursor{Target: to(1 + chance.Uint64N(firstUser-1)), Seq: 1 + chance.Uint64N(1000)}
				if request%2 == 0 {
					return c.AppendRead(dst, request)
				}
				return c.AppendPushAck(dst, request)
			})
		})
	})
}

// pings asks whether the server is there.
func pings(ctx context.Context, s *Site) {
	s.crew(2, func(i int, there func()) {
		s.keep(ctx, client{from: i, user: user(i), device: 1}, there, func(p *peer) {
			p.pump(ctx, 16*protocol.MaxUnacked, func(dst []byte, request uint32) []byte {
				return protocol.AppendEmpty(dst, protocol.TypePing, request)
			})
		})
	})
}
