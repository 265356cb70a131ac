// Package gateway holds the connections of clients. It turns bytes into frames, answers frames
// that concern the connection alone, carries all others to logic in batches, and writes answers
// and pushes back. It knows no business rules.
//
// A connection passes through accept.go, or tlslisten.go, and places.go before it has a session
// (session.go). A message passes through netpoll.go (bytes) and input.go (frames), both on the
// poller's goroutine, and then through lane.go (batches to logic, and the answers back), on the
// lane's goroutine. On its way to the receiver it passes through push.go and outbox.go, on the
// goroutine of the caller of Push, and output.go, on the writer's. If logic and transfer are in
// this process, the lane's goroutine does everything from its batch to the outboxes of the
// receivers.
//
// Shared things are shared fairly, so that nobody waits for the client that asks most. A queue in
// order of arrival is the cheapest way to serve, and it is fair as long as nobody has much in it.
// So each connection may have a small share in the queue of a lane. What it sends beyond that is
// copied once more, and the lane serves it in turn with that of others (round.go). Queries are
// served in turn by user (queries.go). Logins wait for neither (logins.go).
package gateway

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	mathrand "math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"gannet/internal/limiter"
	"gannet/protocol"
)

// Config says how a gateway works. Logic is required. Zero values of other fields mean the
// defaults.
type Config struct {
	Logic          Logic
	Binder         Binder // nil: the directory ends with the gateway, so nothing is bound again
	Lanes          int    // as many as the log has queues; default DefaultLanes()
	BatchBytes     int    // of a batch, unless one frame is larger; default DefaultBatchBytes
	FrameCost      int    // what each frame of a batch counts as beside its own bytes
	QueryWorkers   int    // queries under way at once; default twice the cores
	LoginWorkers   int    // most login calls under way at once; default loginWorkers
	Writers        int    // goroutines that write; default one per two cores
	MaxConnections int    // from accept on; default DefaultMaxConnections
	MaxBeforeLogin int    // how many of them may not have logged in yet; default a tenth
	MaxPerAddress  int    // how many of them may have the same address; default DefaultMaxPerAddress

	Proxies []netip.Prefix  // whose connections begin with a PROXY header
	Limiter limiter.Limiter // of users and addresses; nil: no limits
	Frames  limiter.Rate    // of one connection; zero: no limit

	// OutboxMemory bounds the bytes that wait for all clients with blocked sockets together,
	// those in the kernel included. Default DefaultOutboxMemory, negative: no limit.
	OutboxMemory int64

	// BegunMemory bounds the bytes of frames that have begun and are not whole, of all clients
	// together. Default DefaultBegunMemory.
	BegunMemory int64

	Now func() time.Time // by which tokens end; default time.Now
	Log *slog.Logger
}

// DefaultLanes is one lane for each core: while one waits for the disk, another works. More lanes
// mean smaller batches and more syncs of the disk.
func DefaultLanes() int { return min(runtime.GOMAXPROCS(0), protocol.Partitions) }

// Gateway is a running gateway. Make it with New, give it listeners with Serve,
// end it with Stop.
type Gateway struct {
	epoch     atomic.Uint64
	losses    atomic.Uint64 // how often the directory may have lost connections
	logic     Logic
	log       *slog.Logger
	limiter   limiter.Limiter
	pace      pace
	blocks    blocks
	counters  counters
	said      said
	places    places
	leaving   leaving
	proxies   proxies
	sessions  sessions
	wheel     wheel
	lanes     []*lane
	batches   measure
	logins    *logins
	queries   *queries
	logouts   *logouts
	again     *again
	offenders offenders
	writers   writers
	memory    memory
	begun     *begun
	blocked   *blocked
	shakes    chan struct{} // has a token for each TLS handshake that computes
	clock     func() time.Time

	ctx      context.Context
	cancel   context.CancelFunc
	draining atomic.Bool // Stop has begun
	stop     chan struct{}
	wg       sync.WaitGroup

	mu        sync.Mutex
	listeners []listener
	stopping  bool
}

// listener accepts connections for the gateway.
type listener interface {
	refuse()                     // accept no more
	close(context.Context) error // returns all resources; call it when no connection is left
}

// ErrStopped is what Serve returns on a gateway that is being stopped.
var ErrStopped = errors.New("gateway: stopped")

// New makes a gateway and starts its goroutines. Their number does not grow with the number of
// connections.
func New(c Config) *Gateway {
	g := build(c)
	g.wg.Go(func() { g.wheel.run(g.stop, g.fire) })
	return g
}

// build is New without the wheel's clock.
func build(c Config) *Gateway {
	if c.Lanes == 0 {
		c.Lanes = DefaultLanes()
	}
	if c.QueryWorkers == 0 {
		c.QueryWorkers = 2 * runtime.GOMAXPROCS(0)
	}
	if c.LoginWorkers == 0 {
		c.LoginWorkers = loginWorkers
	}
	if c.Writers == 0 {
		c.Writers = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = DefaultMaxConnections
	}
	if c.MaxBeforeLogin == 0 {
		c.MaxBeforeLogin = max(c.MaxConnections/beforeLoginShare, minBeforeLogin)
	}
	if c.MaxPerAddress == 0 {
		c.MaxPerAddress = DefaultMaxPerAddress
	}
	if c.OutboxMemory == 0 {
		c.OutboxMemory = DefaultOutboxMemory
	}
	if c.BegunMemory == 0 {
		c.BegunMemory = DefaultBegunMemory
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	g := &Gateway{
		logic:   c.Logic,
		log:     c.Log,
		proxies: c.Proxies,
		stop:    make(chan struct{}),

		limiter: c.Limiter,
		pace:    newPace(c.Frames),
		blocks:  newBlocks(c.Limiter),
		clock:   c.Now,
	}
	g.epoch.Store(newEpoch())
	g.batches = newMeasure(&c)
	g.places = newPlaces(&c, &g.wheel)
	g.memory.limit = c.OutboxMemory
	g.sessions.byID = make(map[uint64]*session)
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.writers = newWriters(c.Writers)
	for _, w := range g.writers {
		g.wg.Go(func() { w.run(g.stop) })
	}
	g.blocked = newBlocked(g)
	g.shakes = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))
	g.wg.Go(g.blocked.run)
	g.begun = newBegun(g, c.BegunMemory)
	g.wg.Go(func() { g.begun.run(g.stop) })
	for i := range c.Lanes {
		l := newLane(g, i)
		g.lanes = append(g.lanes, l)
		g.wg.Go(func() { l.run(g.stop) })
	}
	g.logouts = newLogouts(g)
	g.wg.Go(func() { g.logouts.run(g.stop) })
	g.again = newAgain(g, c.Binder)
	if c.Binder != nil {
		g.wg.Go(func() { g.again.run(g.stop) })
		g.wg.Go(func() { g.again.hint(g.stop) })
	}
	g.logins = newLogins(g)
	g.logins.start(c.LoginWorkers, g.stop)
	g.queries = newQueries(g, c.QueryWorkers)
	g.queries.start(c.QueryWorkers, g.stop)
	return g
}

// newEpoch gives an epoch for one life of one gateway, so that an address from an earlier life is
// never taken for one of this life.
func newEpoch() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:]) | 1
}

// Epoch is the epoch of the gateway: that of the last Renew, or the one it made at its start.
func (g *Gateway) Epoch() uint64 { return g.epoch.Load() }

// Kick closes the connection with the code; one that is gone is no error. Code 0
// says nothing, so internal stands for it.
func (g *Gateway) Kick(conn uint64, code protocol.Code) {
	if code == 0 {
		code = protocol.CodeInternal
	}
	if s := g.sessions.get(conn); s != nil {
		s.close(code)
	}
}

// begin begins the session of a new connection that has its place. From here on the transport is
// used.
func (g *Gateway) begin(s *session) {
	s.opened = g.wheel.now()
	s.heard.Store(s.opened)
	g.sessions.add(s)
	if g.draining.Load() { // it came too late for the CLOSE that Stop sends to all connections
		s.closeAfter(protocol.CodeDraining, drainDelay())
		s.hangUp()
		return
	}
	g.wheel.schedule(s, s.opened+loginTicks)
	g.places.wait(s.place, s)
}

// fire serves a session that the wheel says is due.
func (g *Gateway) fire(s *session) {
	if next := s.due(g.wheel.now()); next != 0 {
		g.wheel.schedule(s, next)
	}
}

// backWithin gives the time over which clients should come back that a gateway sends away
// together.
func backWithin(clients int) time.Duration {
	return min(max(drainRetry, time.Duration(clients)*drainEach), maxRetry)
}

// drainDelay gives a retry_after that spreads a few who come back.
func drainDelay() uint32 { return delayWithin(drainRetry) }

func delayWithin(d time.Duration) uint32 { return uint32(mathrand.Int64N(d.Milliseconds())) }
