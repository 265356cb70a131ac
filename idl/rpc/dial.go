package rpc

import (
	"context"
	"net"
	"time"

	"github.com/cloudwego/gopkg/bufiox"
	"github.com/cloudwego/kitex/client"
	"github.com/cloudwego/kitex/pkg/connpool"
	"github.com/cloudwego/kitex/pkg/discovery"
	"github.com/cloudwego/kitex/pkg/endpoint"
	"github.com/cloudwego/kitex/pkg/remote"
	longpool "github.com/cloudwego/kitex/pkg/remote/connpool"
	"github.com/cloudwego/kitex/pkg/remote/trans/gonet"
	"github.com/cloudwego/kitex/pkg/rpcinfo"
	"github.com/cloudwego/kitex/pkg/rpcinfo/remoteinfo"
	"github.com/cloudwego/kitex/pkg/stats"
	"github.com/cloudwego/kitex/transport"

	"gannet/internal/operate"
)

// Bounds of a client.
const (
	// dialTimeout is how long connecting to a peer may take. After a dropped SYN a Forward still
	// has time for two more tries.
	dialTimeout = 500 * time.Millisecond

	// maxIdleConns is how many unused connections to one node are kept. It is about the number of
	// calls that may be under way at once: of lanes, queries and logins.
	maxIdleConns = 64

	// idleConn is how long an unused connection is kept.
	idleConn = 30 * time.Second
)

// deadline is the key of the time in the context of a call at which the call must end.
type deadline struct{}

// tryContext is the context of one try of a call. To Kitex it seems never to end. If it ended,
// Kitex would give the call up, but one of its goroutines would go on reading the arguments. The
// memory of a batch is reused as soon as its call returns, so that must not happen. Instead the
// connection gets the deadline, and a call returns only when it is really over.
type tryContext struct {
	context.Context
	ends time.Time
}

func (c *tryContext) Deadline() (time.Time, bool) { return time.Time{}, false }
func (c *tryContext) Done() <-chan struct{}       { return nil }
func (c *tryContext) Err() error                  { return nil }
func (c *tryContext) Value(key any) any {
	if key == (deadline{}) {
		return c.ends
	}
	return c.Context.Value(key)
}

// dialer connects to peers.
type dialer struct{}

// DialTimeout implements remote.Dialer.
func (dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	c, err := net.DialTimeout(network, address, timeout)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, reader: bufiox.NewDefaultReader(c), writer: bufiox.NewDefaultWriter(c)}, nil
}

// conn is a connection to a peer, used by one call at a time.
type conn struct {
	net.Conn
	reader *bufiox.DefaultReader
	writer *bufiox.DefaultWriter
}

// Reader and Writer are what Kitex' transport over package net looks for.
func (c *conn) Reader() *bufiox.DefaultReader { return c.reader }
func (c *conn) Writer() *bufiox.DefaultWriter { return c.writer }

// Read reads what is buffered first.
func (c *conn) Read(p []byte) (int, error) { return c.reader.Read(p) }

// SetReadDeadline does nothing. Kitex calls it without a deadline; transHandler sets the real
// one.
func (c *conn) SetReadDeadline(time.Time) error { return nil }

// transHandler sets each call's own deadline on the connection.
type transHandler struct{ remote.ClientTransHandler }

// Write sends a call.
func (h transHandler) Write(ctx context.Context, c net.Conn, message remote.Message) (context.Context, error) {
	ends, _ := ctx.Value(deadline{}).(time.Time)
	if err := c.SetDeadline(ends); err != nil {
		return ctx, err
	}
	return h.ClientTransHandler.Write(ctx, c, message)
}

type transHandlers struct {
	remote.ClientTransHandlerFactory
}

// NewTransHandler implements remote.ClientTransHandlerFactory.
func (f transHandlers) NewTransHandler(o *remote.ClientOption) (remote.ClientTransHandler, error) {
	h, err := f.ClientTransHandlerFactory.NewTransHandler(o)
	return transHandler{h}, err
}

// conns keeps the unused connections to one node. After a failed call the process behind the
// address may be a new one, so none of them is used again.
type conns struct {
	*longpool.LongPool
	address string
}

func newConns(address string) conns {
	return conns{address: address, LongPool: longpool.NewLongPool("gannet", connpool.IdleConfig{
		MaxIdlePerAddress: maxIdleConns, MaxIdleGlobal: maxIdleConns, MaxIdleTimeout: idleConn,
	})}
}

// Discard implements remote.ConnPool.
func (p conns) Discard(c net.Conn) error {
	err := p.LongPool.Discard(c)
	p.Clean(network, p.address)
	return err
}

const network = "tcp"

// to has every call go to one address, past Kitex' resolvers and balancers.
func to(address string) endpoint.Middleware {
	instance := discovery.NewInstance(network, address, discovery.DefaultWeight, nil)
	return func(next endpoint.Endpoint) endpoint.Endpoint {
		return func(ctx context.Context, request, reply any) error {
			remoteinfo.AsRemoteInfo(rpcinfo.GetRPCInfo(ctx).To()).SetInstance(instance)
			return next(ctx, request, reply)
		}
	}
}

// options are those of a client of one node.
func options(p conns, refused *operate.Trouble) []client.Option {
	return []client.Option{
		client.WithMiddleware(to(p.address)),
		client.WithTransportProtocol(transport.Framed),
		client.WithTransHandlerFactory(transHandlers{gonet.NewCliTransHandlerFactory()}),
		client.WithDialer(dialer{}),
		client.WithConnectTimeout(dialTimeout),
		client.WithConnPool(p),
		client.WithCodec(newCodec(refused)),
		client.WithStatsLevel(stats.LevelDisabled),
	}
}
