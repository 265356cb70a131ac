package attack

import (
	"context"

	"gannet/protocol"
)

// syncUsers is how many users there are who all write to each other: the last message
// of each of their conversations is as large as may be.
const syncUsers = 64

func seedConversations(ctx context.Context, s *Site) error {
	body := make([]byte, protocol.MaxBody)
	for i := range syncUsers - 1 {
		var peers []uint64
		for peer := i + 1; peer < syncUsers; peer++ {
			peers = append(peers, user(peer))
		}
		if err := s.seed(ctx, client{from: i, user: user(i), device: 1}, peers, 1, body); err != nil {
			return err
		}
	}
	return nil
}

// syncsAndReset asks 3,200 times for all conversations, in one write, and is gone; so do
// three devices of each user, all at the same time.
func syncsAndReset(ctx context.Context, s *Site) {
	const syncs = 3200
	var ask []byte
	for i := range uint32(syncs) {
		ask = protocol.Sync{}.AppendFrame(ask, 1+i)
	}
	s.crew(s.scale(3*syncUsers, syncUsers), func(i int, there func()) {
		s.keep(ctx, client{from: i, user: user(i % syncUsers), device: uint64(2 + i)}, there, func(p *peer) {
			if _, err := p.Write(ask); err != nil {
				p.lost("", err)
			}
		})
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
