// Package transfer takes messages from the ordered queue to the connections of
// those who are entitled to them. One follower goes along each lane, so what is
// in order in the queue is in order on every connection.
package transfer

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"gannet/protocol"
)

// Config says what a transfer server works with. All ports are required.
type Config struct {
	Queue     Queue
	Directory Directory
	Gateways  Gateways
	Lanes     []int        // the lanes that this server follows
	Log       *slog.Logger // default slog.Default()
}

// Server follows lanes. Make it with Start, end it with Stop.
type Server struct {
	config   Config
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	counters counters
}

// counters counts what went through, and why something did not.
type counters struct {
	records    atomic.Uint64
	frames     atomic.Uint64
	deliveries atomic.Uint64 // a frame to a connection
	absent     atomic.Uint64 // the connection was gone
	unreadable atomic.Uint64 // a frame that is no push: it stays in the store
	retries    atomic.Uint64
}

// Start begins to follow the lanes.
func Start(c Config) *Server {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{config: c, cancel: cancel}
	for _, lane := range c.Lanes {
		s.wg.Go(func() { s.follow(ctx, lane) })
	}
	return s
}

// Stop ends following; what was not committed comes again to the next follower.
func (s *Server) Stop() {
	s.cancel()
	s.wg.Wait()
}

// Stats gives every counter by name; they rise from the start of the process.
func (s *Server) Stats() map[string]uint64 {
	c := &s.counters
	return map[string]uint64{
		"records":         c.records.Load(),
		"frames":          c.frames.Load(),
		"deliveries":      c.deliveries.Load(),
		"drop.absent":     c.absent.Load(),
		"drop.unreadable": c.unreadable.Load(),
		"retries":         c.retries.Load(),
	}
}

// follow pushes the records of one lane.
func (s *Server) follow(ctx context.Context, lane int) {
	r := router{server: s}
	err := s.config.Queue.Follow(ctx, lane, func(records [][]byte) error {
		err := r.push(ctx, records)
		if err != nil && ctx.Err() == nil {
			s.counters.retries.Add(1)
			s.config.Log.Warn("pushing failed, it will be repeated", "lane", lane, "error", err)
		}
		return err
	})
	if ctx.Err() == nil {
		s.config.Log.Error("a lane cannot be followed any more", "lane", lane, "error", err)
	}
}

// frame is a push on its way: who may have it, and from which device it came.
type frame struct {
	bytes        []byte
	conversation protocol.Conversation
	user, device uint64 // the origin, which does not get it back
}

// parse reads what routing needs off the frame at the start of a record and
// says how many bytes it takes. A record that cannot be read is refused whole:
// n is 0.
func parse(record []byte) (f frame, n int, ok bool) {
	raw, n, err := protocol.Split(record, protocol.MaxFrame)
	if err != nil || n == 0 {
		return f, 0, false
	}
	f.bytes = record[:n:n]
	switch raw.Type {
	case protocol.TypePush:
		var m protocol.Message
		ok = m.Decode(raw.Payload) == nil
		f.conversation, f.user, f.device = m.Conversation(), m.Sender, m.Device
	case protocol.TypeReceipt:
		var m protocol.Receipt
		ok = m.Decode(raw.Payload) == nil
		f.conversation, f.user, f.device = m.Conversation(), m.User, m.Device
	}
	return f, n, ok
}
