package gateway

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/bytedance/gopkg/util/gopool"
	"github.com/cloudwego/netpoll"
	"golang.org/x/sys/unix"
)

const (
	// readBuffer is what netpoll has for a connection to read into, instead of its
	// usual 8 KiB: an idle one never needs more.
	readBuffer = 1 << 10

	// restBuffer is what a connection that fills its own buffer is read into; one
	// is shared by all connections of a poller. After maxRests of them the others
	// have their turn.
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

// netpollLog passes what netpoll has to say on to the log of the process.
type netpollLog struct{}

func (netpollLog) Write(line []byte) (int, error) {
	level := slog.LevelWarn
	if bytes.Contains(line, []byte("before close")) {
		level = slog.LevelDebug // a peer has reset its connection; that is counted
	}
	text := bytes.TrimSpace(line)
	if _, after, found := bytes.Cut(text, []byte("NETPOLL: ")); found { // after its own time
		text = after
	}
	slog.Log(context.Background(), level, "netpoll: "+string(text))
	return len(line), nil
}

// run calls the handler of a session in the poller itself: it never waits, and
// a goroutine for each read would cost more than the read. Whatever else in the
// process uses netpoll keeps its goroutines.
func run(ctx context.Context, f func()) {
	if _, ok := ctx.(*netpollTransport); ok {
		f()
		return
	}
	gopool.CtxGo(ctx, f)
}

// netpollTransport is plain TCP. It is also the context that netpoll hands to
// the handler of the connection, which saves a look-up.
//
// Reads come through netpoll. Writes go past its output buffer to the socket,
// because its Flush waits for a slow peer, and a connection whose Flush ran into
// its time-out cannot be used again. netpoll closes the socket only after the
// close callbacks, so it stays ours until ended returned. Close of netpoll's is
// never called: in a handler that runs inside the poller it would wait for
// the poller itself. shutdown makes the poller see the end and clean up.
type netpollTransport struct {
	context.Context
	session *session
	fd      int
	peer    net.Addr
	awaited bool // it has blocked before; guarded by the session's writing lock
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

// reset closes the half that reads, which the poller sees, so that nothing follows what
// was cut; what the close does then is said by the linger time of 0.
func (t *netpollTransport) reset() {
	_ = unix.SetsockoptLinger(t.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	_ = unix.Shutdown(t.fd, unix.SHUT_RD)
}

func (t *netpollTransport) remote() string { return t.peer.String() }

// netpollListener gives the connections of one socket to the gateway.
type netpollListener struct {
	netpoll.Listener
	loop     netpoll.EventLoop
	refusing atomic.Bool
	done     chan error
}

// Accept is called by the poller; nil and no error: there is nobody.
func (l *netpollListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if conn != nil && l.refusing.Load() {
		return nil, conn.Close()
	}
	return conn, err
}

// Listen opens n TCP sockets on the address, n > 1 with SO_REUSEPORT: netpoll
// accepts one connection a wake of each, so a storm of connects is served n
// times as fast. An address that somebody else uses is refused, also when
// they share it.
func Listen(address string, n int) ([]net.Listener, error) {
	first, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	if n <= 1 {
		return []net.Listener{first}, nil
	}
	address = first.Addr().String()
	first.Close()
	reuse := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}); cerr != nil {
			return cerr
		}
		return err
	}}
	var list []net.Listener
	for range n {
		l, err := reuse.Listen(context.Background(), "tcp", address)
		if err != nil {
			for _, l := range list {
				l.Close()
			}
			return nil, err
		}
		list = append(list, l)
	}
	return list, nil
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
	socket, err := netpoll.ConvertListener(ln)
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	l := &netpollListener{Listener: socket, done: make(chan error, 1)}
	loop, err := netpoll.NewEventLoop(onRequest, netpoll.WithOnPrepare(func(conn netpoll.Connection) context.Context {
		t := &netpollTransport{
			Context: context.Background(),
			fd:      conn.(netpoll.Conn).Fd(),
			peer:    conn.RemoteAddr(),
		}
		t.session = g.open(t)
		_ = conn.AddCloseCallback(func(netpoll.Connection) error {
			t.session.ended()
			return nil
		})
		return t
	}))
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	l.loop = loop
	g.listeners = append(g.listeners, l)
	go func() { l.done <- loop.Serve(l) }()
	return nil
}

// onRequest hands everything that was read to the session. It runs in the
// poller.
//
// Netpoll enlarges the buffer of a connection only for handlers that run beside
// the poller, and reads no further than the buffer's end, wherever the last read
// ended. So where a read filled a whole buffer, which is a multiple of
// readBuffer, or ended amid a frame, the rest is read here.
func onRequest(ctx context.Context, conn netpoll.Connection) error {
	t := ctx.(*netpollTransport)
	r := conn.Reader()
	read := 0
	for n := r.Len(); n > 0; n = r.Len() {
		p, err := r.Next(n)
		if err != nil {
			return err
		}
		read += n
		t.session.input(p)
	}
	if read%readBuffer == 0 || len(t.session.partial) > 0 {
		t.readRest()
	}
	return r.Release()
}

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
		t.session.input(buf[:n])
		if n < len(buf) {
			return
		}
	}
}

// refuse lets nobody in any more; who is connected stays.
func (l *netpollListener) refuse() { l.refusing.Store(true) }

// close ends the loop. No connection is left, so netpoll has none to close. A
// Shutdown that comes before the loop has begun does nothing, so it is repeated.
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
