// Package transfer takes what the log hands onward to the connections of those who
// are entitled to it.
//
// A record passes through transfer.go (one follower a queue), read.go (what in it
// can be routed), router.go (who, and where) and courier.go (one a gateway, with a
// push under way and a bounded queue behind it). A follower runs on the goroutine
// that hands the record in, and so does the push to a gateway that answers at once;
// one that lets wait is served by its courier alone.
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

// followPause is how long a queue that could not be followed any further is left
// alone.
const followPause = time.Second

// Config says what a transfer server works with. All ports are required.
type Config struct {
	Queue     Queue
	Directory Directory
	Gateways  Gateways
	Queues    []int        // the queues that this server follows
	Parking   Parking      // nil: what cannot be handled is counted, and nothing of it outlives the process
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
	said       operate.Seldom // that the directory does not answer
	saidPanic  operate.Seldom
	counters   counters
}

// counters counts what went through, and why something did not.
type counters struct {
	records    atomic.Uint64
	frames     atomic.Uint64
	deliveries atomic.Uint64 // a frame to a connection
	receipts   atomic.Uint64 // records of receipts
	follows    atomic.Uint64 // times that a queue could not be followed any further
	lookups    atomic.Uint64 // that the directory did not answer, and were repeated
	absent     atomic.Uint64 // the connection was gone
	pushes     atomic.Uint64 // that failed, and were repeated
	ended      atomic.Uint64 // deliveries to an epoch that has ended
	refused    atomic.Uint64 // deliveries that their gateway refused, and that a hint stands for
	parked     atomic.Uint64 // times that something of a record was given to Parking
	everything atomic.Uint64 // deliveries that became a hint to sync everything
	late       atomic.Uint64 // answers of gateways that came too late or twice
	panics     atomic.Uint64 // survived, but for those of ports, which are failures of theirs
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

// followQueue calls the port. A panic there is an error like any other.
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
			return // a router that was left amid its work is not used again
		}
		s.routers.Put(r)
	}()
	return r.receipts(ctx, record)
}

// park has a record kept, of which something could not be handled.
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

// owes has it kept that a gateway is owed a hint, or is not any more.
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

// Stop ends following and pushing, after it has waited a little for gateways that
// have not answered; what was not done comes again to the next follower.
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
