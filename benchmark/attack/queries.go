package attack

import (
	"context"

	"gannet/protocol"
)

// seedConversations gives a user as many conversations as a page of SYNCED holds, each
// with a message of the largest size.
func seedConversations(ctx context.Context, s *Site) error {
	peers := make([]uint64, protocol.MaxPage)
	for i := range peers {
		peers[i] = user(1000 + i)
	}
	return s.seed(ctx, client{user: user(0), device: 1}, peers, 1, make([]byte, protocol.MaxBody))
}

// syncsAndReset asks 3,200 times for all conversations, in one write, and is gone.
func syncsAndReset(ctx context.Context, s *Site) {
	const syncs = 3200
	var ask []byte
	for i := range uint32(syncs) {
		ask = protocol.Sync{}.AppendFrame(ask, 1+i)
	}
	const parallel = 4
	s.crew(parallel, func(i int, there func()) {
		for n := 0; ctx.Err() == nil; n++ {
			// From another address each time: a single one may not connect so often.
			p, err := s.login(ctx, client{from: i + parallel*(n%manyAddresses), user: user(0), device: uint64(1 + i)})
			there()
			if err != nil {
				rest(ctx)
				continue
			}
			if _, err := p.Write(ask); err != nil {
				p.lost("", err)
			}
			p.close()
		}
	})
}

// What history asks for: pages that are full by their messages, and by their bytes.
const (
	historyMessages = 2000
	historyBody     = 240
)

func seedHistory(ctx context.Context, s *Site) error {
	return s.seed(ctx, client{user: user(0), device: 1}, []uint64{user(1)}, historyMessages, make([]byte, historyBody))
}

// historyPage asks for a page somewhere in the conversation.
func historyPage(s *Site, i int) func(dst []byte, request uint32) []byte {
	chance := s.random(i)
	return func(dst []byte, request uint32) []byte {
		return protocol.History{
			Target: to(user(1)), Direction: protocol.Forward, Seq: 1 + chance.Uint64N(historyMessages-protocol.MaxPage), Limit: protocol.MaxPage,
		}.AppendFrame(dst, request)
	}
}

// historyClients gives the clients: devices of the user who wrote the messages.
const historyClients = 16

// history keeps as many requests under way as every connection may have.
func history(ctx context.Context, s *Site) {
	const window = 16
	s.crew(historyClients, func(i int, there func()) {
		page := historyPage(s, i)
		s.keep(ctx, client{from: i, user: user(0), device: uint64(2 + i)}, there, func(p *peer) { p.pump(ctx, window, page) })
	})
}

// historyUnread asks and asks and reads nothing.
func historyUnread(ctx context.Context, s *Site) {
	s.crew(historyClients, func(i int, there func()) {
		page := historyPage(s, i)
		s.keep(ctx, client{from: i, user: user(0), device: uint64(2 + i)}, there, func(p *peer) { p.pour(ctx, page) })
	})
}
