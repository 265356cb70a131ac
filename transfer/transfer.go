// Package transfer takes the records of the log to the connections of the users who are entitled
// to them.
//
// A record passes through transfer.go (one follower for each queue), read.go (which entries can
// be routed), router.go (to whom, and where they are) and courier.go (one for each gateway, with
// one push under way and a bounded queue behind it). A follower runs on the goroutine that hands
// the record in. A push to a gateway that answers at once runs there too; a slow gateway is
// served by its courier alone.
package transfer

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"gannet/internal/hop"
	"gannet/internal/operate"
)

// followPause is how long a queue is left alone after following it has ended in an error.
const followPause = time.Second

// Config has the settings of a transfer server. The ports Queue, Directory and Gateways are
// required.
type Config struct {
	Queue     Queue
	Directory Directory
	Gateways  Gateways
	Queues    []int        // the queues that this server follows
	Parking   Parking      // nil: failures are only counted, and forgotten with the process
	Log       *slog.Logger // default slog.Default()
}

// Server follows queues. Make it with Start, end it with Stop.
type Server struct {
	config     Config
	ctx        context.Context
	cancel     context.CancelFunc
	followers  sync.WaitGroup
	clock      sync.WaitGroup
	couriers   couriers
	routers    sync.Pool
	unreadable unreadable
	said       operate.Seldom // for "the directory does not answer"
	saidPanic  operate.Seldom
	counters   counters
}

// counters counts what went through, and why something did not.
type counters struct {
	records    atomic.Uint64
	frames     atomic.Uint64
	deliveries atomic.Uint64 // frames to connections, each connection counted
	receipts   atomic.Uint64 // records of receipts
	follows    atomic.Uint64 // how often following a queue ended in an error
	lookups    atomic.Uint64 // that the directory did not answer, and were repeated
	absent     atomic.Uint64 // deliveries to connections that were gone
	pushes     atomic.Uint64 // calls to gateways that failed, and were repeated
	ended      atomic.Uint64 // deliveries to epochs that had ended
	refused    atomic.Uint64 // deliveries that a gateway refused; a hint replaces them
	parked     atomic.Uint64 // times that something of a record was given to Parking
	everything atomic.Uint64 // deliveries that became a hint to sync everything
	late       atomic.Uint64 // answers of gateways that came too late or twice
	panics     atomic.Uint64 // panics survived, except those of ports, which are their failures
}

// Start begins to follow the queues.
func Start(c Config) *Server {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	s := &Server{config: c}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.couriers = couriers{server: s, byEpoch: make(map[uint64]*courier)}
	s.routers.New = func() any { return &router{server: s} }
	s.clock.Go(s.couriers.run)
	for _, queue := range c.Queues {
		s.followers.Go(func() { s.follow(queue) })
	}
	return s
}

// follow routes the records of one queue, until the server stops.
func (s *Server) follow(queue int) {
	r := &router{server: s}
	take := func(ctx context.Context, record *hop.Record, done func()) {
		s.counters.records.Add(1)
		r.route(ctx, record, done)
	}
	for {
		err := s.followQueue(queue, take)
		if s.ctx.Err() != nil {
			return
		}
		s.counters.follows.Add(1)
		s.config.Log.Error("transfer: a queue could not be followed any further, it is tried again", "queue", queue, "error", err)
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(followPause):
		}
	}
}

// followQueue calls Queue.Follow. It turns a panic there into an error.
func (s *Server) followQueue(queue int, take func(ctx context.Context, record *hop.Record, done func())) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("transfer: following panicked: %v", cause)
		}
	}()
	return s.config.Queue.Follow(s.ctx, queue, take)
}

// Receipts routes a record of RECEIPT frames at once, past the queues. It is best
// effort: an error means that the directory did not answer, and nothing is
// repeated.
func (s *Server) Receipts(ctx context.Context, record *hop.Record) (err error) {
	s.counters.receipts.Add(1)
	r := s.routers.Get().(*router)
	defer func() {
		if cause := recover(); cause != nil {
			s.panicked("receipts", cause)
			err = fmt.Errorf("transfer: routing receipts panicked: %v", cause)
			return // the router is not put back: its work was interrupted
		}
		s.routers.Put(r)
	}()
	return r.receipts(ctx, record)
}

// park has Parking keep a record of which something could not be handled.
func (s *Server) park(queue int, mark uint64, reason string) {
	if s.config.Parking == nil {
		return
	}
	s.counters.parked.Add(1)
	defer func() {
		if cause := recover(); cause != nil {
			s.panicked("parking", cause)
		}
	}()
	s.config.Parking.Park(queue, mark, reason)
}

// owes has Parking note whether a gateway is owed a hint.
func (s *Server) owes(epoch uint64, owes bool) {
	if s.config.Parking == nil {
		return
	}
	defer func() {
		if cause := recover(); cause != nil {
			s.panicked("parking", cause)
		}
	}()
	s.config.Parking.Owes(epoch, owes)
}

// panicked counts and logs a bug that concerns one record alone.
func (s *Server) panicked(where string, cause any) {
	s.counters.panics.Add(1)
	if s.saidPanic.Now() {
		s.config.Log.Error("transfer: a panic was survived", "where", where, "panic", cause, "stack", string(debug.Stack()))
	}
}

// Stop ends following and pushing. First it waits up to stopPatience for gateways that have not
// answered. Records that are not done come again to the next follower.
func (s *Server) Stop() {
	s.couriers.drain(stopPatience)
	s.cancel()
	s.followers.Wait()
	s.clock.Wait()
}

// Stats gives every counter by name; they rise from the start of the process.
func (s *Server) Stats() map[string]uint64 {
	c := &s.counters
	stats := map[string]uint64{
		"records":         c.records.Load(),
		"frames":          c.frames.Load(),
		"deliveries":      c.deliveries.Load(),
		"receipts":        c.receipts.Load(),
		"retry.follow":    c.follows.Load(),
		"retry.lookup":    c.lookups.Load(),
		"retry.push":      c.pushes.Load(),
		"drop.absent":     c.absent.Load(),
		"drop.ended":      c.ended.Load(),
		"drop.refused":    c.refused.Load(),
		"parked":          c.parked.Load(),
		"drop.everything": c.everything.Load(),
		"late":            c.late.Load(),
		"panics":          c.panics.Load(),
	}
	s.unreadable.stats(stats)
	return stats
}

// Unreadable gives the newest records, or entries of them, that could not be read,
// oldest first.
func (s *Server) Unreadable() []Unreadable { return s.unreadable.list() }
