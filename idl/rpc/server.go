package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/cloudwego/kitex/pkg/remote/trans/gonet"
	"github.com/cloudwego/kitex/pkg/stats"
	"github.com/cloudwego/kitex/server"

	"gannet/idl/kitex_gen/gannet"
	"gannet/internal/operate"
)

// exitPatience is how long Kitex may take to notice that no connection is left.
const exitPatience = 2 * time.Second

// Config says what a server tells of its node.
type Config struct {
	// Epoch gives the epoch of a gateway. Calls to a gateway name the epoch that they are meant
	// for. Other roles have no Epoch.
	Epoch func() uint64

	Log *slog.Logger // default slog.Default()
}

// Server serves the calls of one role. Make it with ServeLogic, ServeGateway or
// ServeTransfer, end it with Stop.
type Server struct {
	config   Config
	listener *listener
	ctx      context.Context
	cancel   context.CancelFunc
	exit     chan error
	ended    chan struct{}

	calls    atomic.Uint64
	moved    atomic.Uint64   // batches of a queue that another node has
	other    atomic.Uint64   // calls for another life of this node
	payloads operate.Trouble // bytes that are no call
	hostile  operate.Trouble // calls that make no sense
	failed   operate.Trouble // calls that the role could not answer
	panics   operate.Trouble
}

func newServer(ln net.Listener, c Config) *Server {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	s := &Server{config: c, listener: newListener(ln), exit: make(chan error), ended: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// options are the options for the server of Kitex. Signals do not end it; only Stop does.
func (s *Server) options() []server.Option {
	return []server.Option{
		server.WithListener(s.listener),
		server.WithTransServerFactory(gonet.NewTransServerFactory()),
		server.WithTransHandlerFactory(gonet.NewSvrTransHandlerFactory()),
		server.WithCodec(newCodec(&s.payloads)),
		server.WithReadWriteTimeout(stallTimeout),
		server.WithMaxConnIdleTime(idleTimeout),
		server.WithExitWaitTime(exitPatience),
		server.WithExitSignal(func() <-chan error { return s.exit }),
		server.WithStatsLevel(stats.LevelDisabled),
	}
}

func (s *Server) run(k server.Server) *Server {
	go func() {
		defer close(s.ended)
		if err := k.Run(); err != nil {
			s.config.Log.Error("rpc: the server has ended", "address", s.Address(), "error", err)
		}
	}()
	return s
}

// Address is where it listens.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Stop accepts no more connections, lets running calls end and sends their answers, and closes
// all connections. If ctx ends first, Stop cuts off the calls that are left and returns an error.
// The role must have left the registry before, so that no new calls come.
func (s *Server) Stop(ctx context.Context) (err error) {
	s.listener.stop()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for err == nil && s.listener.len() > 0 {
		select {
		case <-poll.C:
		case <-ctx.Done():
			err = fmt.Errorf("rpc: calls on %d connections were cut off: %w", s.listener.cut(), ctx.Err())
		}
	}
	s.cancel()
	select {
	case <-s.ended:
		return err
	case s.exit <- nil:
	}
	<-s.ended
	return err
}

// Stats gives every counter by name; they rise from the start of the process, but for
// "connections", which is how many there are.
func (s *Server) Stats() map[string]uint64 {
	return map[string]uint64{
		"connections":     uint64(s.listener.len()),
		"calls":           s.calls.Load(),
		"moved":           s.moved.Load(),
		"other":           s.other.Load(),
		"failed.accept":   s.listener.failed.Times(),
		"failed.call":     s.failed.Times(),
		"refused.connect": s.listener.refused.Times(),
		"hostile.call":    s.hostile.Times(),
		"hostile.payload": s.payloads.Times(),
		"panics":          s.panics.Times(),
	}
}

// answer runs one call of the role. If the call is invalid, fails or panics, it answers with a
// status instead. do gets a context that ends when the caller has given up.
func answer[R any](s *Server, method string, status func(int32) *R, do func(ctx context.Context) (*R, error)) (reply *R, err error) {
	s.calls.Add(1)
	defer func() {
		if cause := recover(); cause != nil {
			if s.panics.Note() {
				s.config.Log.Error("rpc: a panic was survived", "call", method, "panic", cause, "stack", string(debug.Stack()))
			}
			reply, err = status(gannet.UNAVAILABLE), nil
		}
	}()
	ctx, cancel := context.WithTimeout(s.ctx, tryTimeout)
	defer cancel()
	if reply, err = do(ctx); err == nil {
		return reply, nil
	}
	if failure, refused := err.(refusal); refused {
		if s.hostile.Note() {
			s.config.Log.Error("rpc: a call that no node makes", "call", method, "why", string(failure))
		}
		return status(gannet.REFUSED), nil
	}
	if s.failed.Note() {
		s.config.Log.Warn("rpc: a call could not be answered", "call", method, "error", err)
	}
	return status(gannet.UNAVAILABLE), nil
}

// refusal says why a call is invalid.
type refusal string

func (r refusal) Error() string { return "rpc: " + string(r) }

const (
	noContent  = refusal("it has no content")
	outOfRange = refusal("a number is out of range")
	misshapen  = refusal("its lists do not fit together")
)

// mine says whether a call is for this life of this gateway.
func (s *Server) mine(epoch int64) bool {
	if uint64(epoch) == s.config.Epoch() {
		return true
	}
	s.other.Add(1)
	return false
}
