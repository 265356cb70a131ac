// Package gateway holds the connections. It turns bytes into frames, answers
// what concerns the connection alone, carries everything else to logic in
// batches, and writes replies and pushes back. It knows no rule of chatting.
//
// A message passes through session.go (bytes to frames), lane.go (to logic and
// its answer back), and later, on its way to the receiver, push.go, outbox.go
// and writer.go.
package gateway

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"gannet/protocol"
)

// Logic is what the gateway needs of logic. All methods are safe for concurrent
// use.
type Logic interface {
	// Login answers a HELLO: who it is, or the code with which the connection is
	// closed (0: let in).
	Login(ctx context.Context, id protocol.Identity, request uint32, hello *protocol.Hello) (protocol.Login, protocol.Code)

	// Logout says that a connection that was let in is over.
	Logout(ctx context.Context, id protocol.Identity)

	// Forward carries out a batch of SEND, PUSHACK and READ frames in order and
	// appends the replies, in the order of their requests, at most one for each.
	// Calls for one lane come one after the other. The payloads are valid until it
	// returns; the replies are the gateway's from then on.
	Forward(ctx context.Context, lane int, batch []protocol.Request, replies []protocol.Reply) []protocol.Reply

	// Query answers a SYNC or HISTORY frame, or a TypeRedeliver with the PUSH
	// frames of its range.
	Query(ctx context.Context, request protocol.Request) protocol.Reply
}

// Config says how a gateway works. Logic is required; zero values elsewhere mean
// the defaults.
type Config struct {
	Logic          Logic
	Lanes          int // write lanes; default DefaultLanes()
	Readers        int // logins and pages under way at once; default twice the cores
	Writers        int // goroutines that write; default one per two cores
	MaxConnections int // default DefaultMaxConnections

	// Local says that the pushes of a batch arrive while logic carries it out, as
	// they do when everything is in one process. Writing then waits for the
	// answers of the batch, and one write carries both.
	Local bool

	Log *slog.Logger
}

// DefaultLanes is the number of lanes that one process is fastest with: one
// for two cores. More lanes mean smaller batches and more fsyncs.
func DefaultLanes() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// Gateway is a running gateway. Make it with New, give it listeners with Serve,
// end it with Stop.
type Gateway struct {
	id       uint64
	logic    Logic
	log      *slog.Logger
	max      int
	counters counters
	sessions sessions
	wheel    wheel
	local    bool
	busy     atomic.Int32 // lanes with a batch under way
	lanes    []*lane
	readers  *readers
	writers  []*writer

	ctx    context.Context
	cancel context.CancelFunc
	stop   chan struct{}
	wg     sync.WaitGroup

	mu        sync.Mutex
	listeners []listener
	stopping  bool
}

// listener accepts connections for the gateway.
type listener interface {
	refuse()                     // accept no more
	close(context.Context) error // give everything back; no connection is left
}

// ErrStopped is what Serve returns on a gateway that is being stopped.
var ErrStopped = errors.New("gateway: stopped")

// New makes a gateway and starts its goroutines; their number does not depend on
// the number of connections.
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
	if c.Readers == 0 {
		c.Readers = 2 * runtime.GOMAXPROCS(0)
	}
	if c.Writers == 0 {
		c.Writers = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = DefaultMaxConnections
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	g := &Gateway{
		id:    newID(),
		logic: c.Logic,
		log:   c.Log,
		max:   c.MaxConnections,
		local: c.Local,
		stop:  make(chan struct{}),
	}
	g.sessions.byID = make(map[uint64]*session)
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.readers = newReaders(g)
	for i := range c.Lanes {
		l := newLane(g, i)
		g.lanes = append(g.lanes, l)
		g.wg.Go(func() { l.run(g.stop) })
	}
	for range c.Writers {
		w := newWriter()
		g.writers = append(g.writers, w)
		g.wg.Go(func() { w.run(g.stop) })
	}
	g.readers.start(c.Readers, g.stop)
	return g
}

// newID names one life of one gateway, so that an address of an earlier life is
// never taken for one of this.
func newID() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:]) | 1
}

// ID names this life of this gateway in addresses.
func (g *Gateway) ID() uint64 { return g.id }

// Kick closes the connection with the code; one that is gone is no error.
func (g *Gateway) Kick(conn uint64, code protocol.Code) {
	if s := g.sessions.get(conn); s != nil {
		s.close(code)
	}
}

// open makes the session of a new connection. The transport is in use from here
// on; when the gateway is full the connection gets its CLOSE and nothing else.
func (g *Gateway) open(t transport) *session {
	s := &session{gateway: g, transport: t, opened: g.wheel.now()}
	s.heard.Store(s.opened)
	g.counters.accepted.Add(1)
	if g.sessions.add(s) > g.max {
		s.closeAfter(protocol.CodeTooManyConnections, drainDelay())
		return s
	}
	g.wheel.schedule(s, s.opened+loginTicks)
	return s
}

// fire serves a session that the wheel says is due.
func (g *Gateway) fire(s *session) {
	if next := s.due(g.wheel.now()); next != 0 {
		g.wheel.schedule(s, next)
	}
}

func (g *Gateway) writerOf(s *session) *writer { return g.writers[s.id%uint64(len(g.writers))] }

// hold hands sessions, all of them marked as queued, to their writers.
func (g *Gateway) hold(touched []*session) {
	if len(g.writers) == 1 {
		g.writers[0].hold(touched...)
		return
	}
	for _, s := range touched {
		g.writerOf(s).hold(s)
	}
}

// drainDelay gives a retry_after that spreads those who come back.
func drainDelay() uint32 {
	return uint32(mathrand.Int64N(drainRetry.Milliseconds()))
}

// Stop ends the gateway so that nobody loses anything: it accepts no more, lets
// the lanes finish what they have, says CLOSE draining to every connection and
// waits until they are gone. When ctx ends first the rest is cut off, and
// that is the error.
func (g *Gateway) Stop(ctx context.Context) error {
	g.mu.Lock()
	if g.stopping {
		g.mu.Unlock()
		return ErrStopped
	}
	g.stopping = true
	listeners := g.listeners
	g.mu.Unlock()
	for _, l := range listeners {
		l.refuse()
	}
	err := g.settle(ctx)
	for _, s := range g.sessions.all() {
		s.closeAfter(protocol.CodeDraining, drainDelay())
	}
	select {
	case <-g.sessions.empty():
	case <-ctx.Done():
		err = fmt.Errorf("gateway: %d connections were cut off: %w", g.sessions.len(), ctx.Err())
	}
	close(g.stop)
	g.wg.Wait()
	g.readers.wg.Wait()
	g.cancel()
	for _, l := range listeners {
		if cerr := l.close(ctx); cerr != nil && err == nil {
			err = cerr
		}
	}
	return err
}

// settle waits until no lane has anything under way.
func (g *Gateway) settle(ctx context.Context) error {
	poll := time.NewTicker(tick)
	defer poll.Stop()
	for _, l := range g.lanes {
		for !l.idle() {
			select {
			case <-poll.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}
