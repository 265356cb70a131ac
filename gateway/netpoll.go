package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/bytedance/gopkg/util/gopool"
	"github.com/cloudwego/netpoll"
	"golang.org/x/sys/unix"

	"gannet/internal/operate"
)

const (
	// readBuffer is what netpoll has for a connection to read into, instead of its
	// usual 8 KiB: an idle one never needs more.
	readBuffer = 1 << 10

	// restBuffer is the size of the buffer for connections that fill their own. All connections
	// of a poller share one. After maxRests reads into it, the other connections have their turn.
	restBuffer = 64 << 10
	maxRests   = 4
)

// netpoll reads its configuration when its first poller starts, so it is set
// here and nowhere else.
func init() {
	netpoll.LinkBufferCap = readBuffer
	err := netpoll.Configure(netpoll.Config{
		BufferSize:   readBuffer,
		PollerNum:    max(1, runtime.GOMAXPROCS(0)/4),
		Runner:       run,
		LoggerOutput: netpollLog{},
	})
	if err != nil {
		panic(err)
	}
}

// netpollLog passes netpoll's messages on to the log of the process.
type netpollLog struct{}

func (netpollLog) Write(line []byte) (int, error) {
	level := slog.LevelWarn
	if bytes.Contains(line, []byte("before close")) {
		level = slog.LevelDebug // a peer has reset its connection; that is counted
	}
	text := bytes.TrimSpace(line)
	if _, after, found := bytes.Cut(text, []byte("NETPOLL: ")); found { // it follows a time of netpoll's own
		text = after
	}
	if !netpollSays(text).Now() {
		return len(line), nil
	}
	slog.Log(context.Background(), level, "netpoll: "+string(text))
	return len(line), nil
}

// netpollReasons has an operate.Seldom for each message of netpoll. Messages are told apart by
// their text before the first number or detail; there are about a dozen.
var netpollReasons sync.Map

func netpollSays(text []byte) *operate.Seldom {
	reason := text
	if i := bytes.IndexAny(text, "0123456789:([{="); i >= 0 {
		reason = text[:i]
	}
	seldom, _ := netpollReasons.LoadOrStore(string(reason), new(operate.Seldom))
	return seldom.(*operate.Seldom)
}

// run calls the handler of a session in the poller itself, because the handler never waits, and a
// goroutine for each read would cost more than the read. Other users of netpoll in this process
// keep their goroutines.
func run(ctx context.Context, f func()) {
	if _, ok := ctx.(*netpollTransport); ok {
		f()
		return
	}
	gopool.CtxGo(ctx, f)
}

// netpollTransport is plain TCP. It is also the context that netpoll passes to the handler of the
// connection, which saves a look-up.
//
// Reads come through netpoll. Writes go directly to the socket, not through netpoll's output
// buffer: its Flush waits for a slow peer, and after a time-out of Flush the connection cannot be
// used any more. netpoll closes the socket only after the close callbacks, so we may use it until
// ended has returned. netpoll's Close is never called: in a handler that runs inside the poller
// it would wait for the poller itself. Instead, shutdown lets the poller see the end and clean
// up.
type netpollTransport struct {
	context.Context
	session  *session
	fd       int
	newcomer *newcomer
	header   *header // the PROXY header, while it is not there whole
}

func (t *netpollTransport) write(p []byte) (int, error) {
	for {
		n, err := syscall.Write(t.fd, p)
		switch err {
		case nil:
			return n, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return 0, err
		}
	}
}

func (t *netpollTransport) shutdown() { _ = unix.Shutdown(t.fd, unix.SHUT_RDWR) }

// reset closes the reading half, so that the poller sees the end. Nothing is written after a cut
// frame. The linger time of 0 makes the later close send a reset.
func (t *netpollTransport) reset() {
	_ = unix.SetsockoptLinger(t.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	_ = unix.Shutdown(t.fd, unix.SHUT_RD)
}

func (t *netpollTransport) remote() string {
	return t.session.gateway.places.whose(&t.newcomer.place).String()
}

// input passes on what was read, without the PROXY header of a proxied connection.
func (t *netpollTransport) input(p []byte) {
	if t.header != nil {
		rest, ok := t.session.heading(t.header, p)
		if !ok {
			return
		}
		if t.header, p = nil, rest; len(p) == 0 {
			return
		}
	}
	t.session.input(p)
}

// netpollListener passes the connections of one listening socket to the gateway. It is a
// netpoll.Listener. netpoll's own closes its descriptor twice, and the second time the descriptor
// may already be somebody else's.
type netpollListener struct {
	net.Listener
	file     *os.File // the socket, under a descriptor that package net does not watch
	fd       int      // that descriptor; each call of file.Fd would make it blocking
	gateway  *Gateway
	gate     *gate
	loop     netpoll.EventLoop
	refusing atomic.Bool
	done     chan error

	// netpoll closes the listener while its poller may be in Accept, which must not take a
	// connection from a listener that has got the descriptor since.
	mu     sync.Mutex
	closed bool
}

// Fd is what netpoll watches.
func (l *netpollListener) Fd() int { return l.gate.watched() }

// Accept is called by the poller. If it returns nil and no error, there is no connection to let
// in. One call turns away several connections, because in a storm there are many, and one wake
// for each would cost too much.
func (l *netpollListener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range acceptsPerWake {
		if l.closed {
			return nil, nil
		}
		if l.gateway.places.crowded() {
			l.gate.pause(tick)
			return nil, nil
		}
		fd, from, err := accept(l.fd)
		switch {
		case err == unix.EAGAIN:
			return nil, nil
		case err != nil && gone(err):
		case err != nil:
			l.gateway.acceptFailed(err)
			l.gate.pause(acceptPause)
			return nil, nil
		case l.refusing.Load():
			_ = unix.Close(fd)
		default:
			if c := l.gateway.admit(fd, from, l.Addr()); c != nil {
				return c, nil
			}
		}
	}
	return nil, nil
}

// Close is called by netpoll.
func (l *netpollListener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	l.gate.close()
	return errors.Join(l.file.Close(), l.Listener.Close())
}

// Serve takes connections from the listener, which must be TCP, until Stop. It
// does not wait.
func (g *Gateway) Serve(ln net.Listener) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopping {
		return ErrStopped
	}
	if err := boundBuffers(ln); err != nil {
		return err
	}
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		return fmt.Errorf("gateway: a %T is no TCP listener", ln)
	}
	file, err := tcp.File()
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	fd := int(file.Fd())
	gate, err := gateOf(fd)
	if err != nil {
		file.Close()
		return fmt.Errorf("gateway: %w", err)
	}
	loop, err := netpoll.NewEventLoop(onRequest, netpoll.WithOnPrepare(g.prepare))
	if err != nil {
		gate.close()
		file.Close()
		return fmt.Errorf("gateway: %w", err)
	}
	l := &netpollListener{Listener: ln, file: file, fd: fd, gateway: g, gate: gate, loop: loop, done: make(chan error, 1)}
	g.listeners = append(g.listeners, l)
	go func() { l.done <- loop.Serve(l) }()
	return nil
}

// gateOf prepares a listening socket, and gives the gate before it.
func gateOf(socket int) (*gate, error) {
	if err := unix.SetNonblock(socket, true); err != nil { // which Fd has undone
		return nil, err
	}
	if err := inherit(socket); err != nil {
		return nil, err
	}
	return newGate(socket)
}

// prepare makes the session of a connection that netpoll is about to watch. It runs in the
// poller. A panic in it ends only the connection.
func (g *Gateway) prepare(conn netpoll.Connection) context.Context {
	n := conn.RemoteAddr().(*newcomer)
	t := &netpollTransport{Context: context.Background(), fd: n.fd, newcomer: n}
	t.session = &session{gateway: g, transport: t, place: &n.place}
	if n.proxied {
		t.header = &header{}
	}
	defer func() {
		if cause := recover(); cause != nil {
			g.panicked("accept", cause)
			_ = conn.Close() // runs the callback; the poller does not have the connection yet
		}
	}()
	_ = conn.AddCloseCallback(func(netpoll.Connection) error {
		t.session.end()
		return nil
	})
	g.begin(t.session)
	return t
}

// onRequest passes everything that was read to the session. It runs in the poller.
//
// netpoll enlarges the buffer of a connection only for handlers that do not run in the poller,
// and it never reads past the end of the buffer. So onRequest reads the rest itself if a read
// filled a whole buffer (its length is then a multiple of readBuffer) or ended inside a frame.
func onRequest(ctx context.Context, conn netpoll.Connection) error {
	t := ctx.(*netpollTransport)
	r := conn.Reader()
	defer skip(r) // after a panic: netpoll calls again while something is left
	defer t.session.survive("read")
	read := 0
	for n := r.Len(); n > 0; n = r.Len() {
		p, err := r.Next(n)
		if err != nil {
			return err
		}
		read += n
		t.input(p)
	}
	if read%readBuffer == 0 || len(t.session.partial) > 0 {
		t.readRest()
	}
	return r.Release()
}

func skip(r netpoll.Reader) { _ = r.Skip(r.Len()) }

var restBuffers = sync.Pool{New: func() any { return new([restBuffer]byte) }}

// readRest reads what waits in the socket. The end of the stream and errors are
// left to netpoll, which meets them next.
func (t *netpollTransport) readRest() {
	buf := restBuffers.Get().(*[restBuffer]byte)
	defer restBuffers.Put(buf)
	for range maxRests {
		n, err := syscall.Read(t.fd, buf[:])
		if n <= 0 || err != nil {
			return
		}
		t.input(buf[:n])
		if n < len(buf) {
			return
		}
	}
}

// refuse accepts no more connections. Existing ones stay.
func (l *netpollListener) refuse() { l.refusing.Store(true) }

// close ends the event loop. No connection is left that netpoll would have to close. A Shutdown
// before the loop has begun does nothing, so it is repeated.
func (l *netpollListener) close(ctx context.Context) error {
	again := time.NewTicker(tick)
	defer again.Stop()
	for {
		if err := l.loop.Shutdown(ctx); err != nil {
			return err
		}
		select {
		case err := <-l.done:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-again.C:
		}
	}
}
