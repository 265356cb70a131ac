package pipeline

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/cloudwego/netpoll"

	"gannet/benchmark/yardstick"
	"gannet/benchmark/yardstick/pipeline/kitex_gen/hop"
	"gannet/benchmark/yardstick/pipeline/kitex_gen/hop/pipe"
	"gannet/protocol"
)

// gateway has the connections. One goroutine writes to them, so that what comes of
// different calls meets in one write.
type gateway struct {
	recordBytes int
	users       sync.Map // uint64 → *conn
	lanes       []*lane

	mu    sync.Mutex
	dirty []*conn // that have something to write
	wake  chan struct{}
}

func (p *Process) gateway(ctx context.Context) error {
	if len(p.Peers) == 0 {
		return fmt.Errorf("benchmark: a gateway needs the address of logic")
	}
	logic, err := peer(p.Peers[0])
	if err != nil {
		return err
	}
	g := &gateway{recordBytes: p.RecordKB << 10, wake: make(chan struct{}, 1)}
	failed := make(chan error, 2+p.Queues)
	for q := range p.Queues {
		l := &lane{gateway: g, queue: q, logic: logic, wake: make(chan struct{}, 1)}
		g.lanes = append(g.lanes, l)
		go func() { failed <- l.run() }()
	}
	go g.write()
	address, _, err := calls(g, failed)
	if err != nil {
		return err
	}
	return yardstick.Serve(ctx, "127.0.0.1:0", address, p.ReadyFile, failed,
		func(ctx context.Context, c netpoll.Connection) error { return ctx.(*conn).read(c) },
		netpoll.WithOnPrepare(func(c netpoll.Connection) context.Context {
			return &conn{Context: context.Background(), gateway: g, fd: c.(netpoll.Conn).Fd()}
		}))
}

// Pass takes a push of transfer.
func (g *gateway) Pass(_ context.Context, b *hop.Batch) (*hop.Batch, error) {
	return hop.NewBatch(), g.deliver(b)
}

// deliver has each frame written to its user.
func (g *gateway) deliver(b *hop.Batch) error {
	var touched []*conn
	err := each(b, func(user uint64, frame []byte) error {
		if c, ok := g.users.Load(user); ok && c.(*conn).add(frame) {
			touched = append(touched, c.(*conn))
		}
		return nil
	})
	g.mu.Lock()
	g.dirty = append(g.dirty, touched...)
	g.mu.Unlock()
	signal(g.wake)
	return err
}

// signal leaves a token where there is none.
func signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

func (g *gateway) write() {
	var work []*conn
	for range g.wake {
		g.mu.Lock()
		work, g.dirty = g.dirty, work[:0]
		g.mu.Unlock()
		for _, c := range work {
			c.flush()
		}
	}
}

// lane is what a gateway sends to one queue, call after call.
type lane struct {
	gateway *gateway
	queue   int
	logic   pipe.Client
	wake    chan struct{}

	mu      sync.Mutex
	waiting []*hop.Batch
}

func (l *lane) add(user uint64, frame []byte) {
	l.mu.Lock()
	n := len(l.waiting)
	if n == 0 || len(l.waiting[n-1].Frames)+len(frame) > l.gateway.recordBytes/2 {
		l.waiting = append(l.waiting, &hop.Batch{Queue: int32(l.queue)})
		n++
	}
	add(l.waiting[n-1], user, frame)
	l.mu.Unlock()
	signal(l.wake)
}

func (l *lane) run() error {
	for range l.wake {
		for {
			l.mu.Lock()
			if len(l.waiting) == 0 {
				l.mu.Unlock()
				break
			}
			b := l.waiting[0]
			l.waiting = l.waiting[1:]
			l.mu.Unlock()
			acks, err := l.logic.Pass(context.Background(), b)
			if err == nil {
				err = l.gateway.deliver(acks)
			}
			if err != nil {
				return fmt.Errorf("benchmark: queue %d: %w", l.queue, err)
			}
		}
	}
	return nil
}

// conn is a connection of a client.
type conn struct {
	context.Context
	gateway *gateway
	fd      int
	user    uint64
	partial []byte // of a frame, the reader's

	mu         sync.Mutex
	out, spare []byte
}

// add adds a frame, and says whether it is the first that is to be written.
func (c *conn) add(frame []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(c.out, frame...)
	return len(c.out) == len(frame)
}

// flush is the writer's.
func (c *conn) flush() {
	c.mu.Lock()
	out := c.out
	c.out, c.spare = c.spare[:0], nil
	c.mu.Unlock()
	for rest := out; len(rest) > 0; {
		n, err := syscall.Write(c.fd, rest)
		if err != nil && err != syscall.EAGAIN && err != syscall.EINTR {
			break // whoever has gone away does not stop the others
		}
		if n > 0 {
			rest = rest[n:]
		} else {
			time.Sleep(time.Millisecond)
		}
	}
	c.mu.Lock()
	c.spare = out
	c.mu.Unlock()
}

// read runs on the poller.
func (c *conn) read(from netpoll.Connection) error {
	r := from.Reader()
	p, err := r.Next(r.Len())
	if err != nil {
		return err
	}
	if len(c.partial) > 0 {
		c.partial = append(c.partial, p...)
		p = c.partial
	}
	taken := 0
	for {
		f, n, err := protocol.Split(p[taken:], protocol.MaxFrame)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		if err := c.frame(f, p[taken:taken+n]); err != nil {
			return err
		}
		taken += n
	}
	c.partial = append(c.partial[:0], p[taken:]...)
	return r.Release()
}

func (c *conn) frame(f protocol.Frame, whole []byte) error {
	var answer []byte
	switch f.Type {
	case protocol.TypeHello:
		var hello protocol.Hello
		if err := hello.Decode(f.Payload); err != nil {
			return err
		}
		user, err := strconv.ParseUint(string(hello.Token), 10, 64)
		if err != nil {
			return err
		}
		c.user = user
		c.gateway.users.Store(user, c)
		answer = protocol.Welcome{
			Version: hello.Version, User: user, Time: uint64(time.Now().UnixMilli()), Heartbeat: 600,
			MaxFrame: protocol.MaxFrame, MaxBody: protocol.MaxBody, MaxUnacked: protocol.MaxUnacked,
		}.AppendFrame(nil, f.Request)
	case protocol.TypeSync:
		answer = protocol.Synced{Next: uint64(time.Now().UnixMilli())}.Finish(protocol.Synced{}.AppendFrame(nil, f.Request), 0)
	case protocol.TypePing:
		answer = protocol.AppendEmpty(nil, protocol.TypePong, f.Request)
	case protocol.TypeSend:
		var m protocol.Send
		if err := m.Decode(f.Payload); err != nil {
			return err
		}
		c.gateway.lanes[queueOf(m.Target.Conversation(c.user), len(c.gateway.lanes))].add(c.user, whole)
		return nil
	default:
		return nil // PUSHACK and the like are not kept
	}
	one := hop.NewBatch()
	add(one, c.user, answer)
	return c.gateway.deliver(one)
}

// queueOf gives the queue of a conversation.
func queueOf(c protocol.Conversation, queues int) int {
	return int((c.A ^ c.B<<1) * 0x9E3779B97F4A7C15 >> 40 % uint64(queues))
}
