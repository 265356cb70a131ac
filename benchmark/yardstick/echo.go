package yardstick

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudwego/netpoll"

	"gannet/benchmark/meter"
	"gannet/benchmark/process"
)

// EchoInFlight bounds the bytes that an echo connection has on their way, to
// what the smallest usual socket buffers hold: a write then never waits, and may
// be made on the poller itself.
const EchoInFlight = 16 << 10

// echoPatience is how much longer a measurement may take until anything comes.
const echoPatience = 10 * time.Second

// EchoDepth gives how many frames of size an echo connection may have on their
// way, at most want.
func EchoDepth(want, size int) int { return max(1, min(want, EchoInFlight/size)) }

// EchoServer is the server half of the echo limit: a process of its own that
// sends every byte back. Its fields are flags.
type EchoServer struct {
	ReadyFile string `help:"Where to write the address once it listens." required:""`
	Patient   bool   `help:"Have a goroutine for each connection, as the standard library has it, so that a peer who does not read holds up nobody else."`
	TLSCert   string `name:"tls-cert" help:"With --patient: certificate for a further address with TLS." placeholder:"FILE"`
	TLSKey    string `name:"tls-key" help:"Its key." placeholder:"FILE"`
}

// Run serves until ctx is done.
func (e *EchoServer) Run(ctx context.Context, _, _ io.Writer) error {
	if e.Patient {
		return e.servePatiently(ctx)
	}
	// The process ends after it and its connections with it. Closing them here
	// would be wrong: see echoLoad.
	return Serve(ctx, "127.0.0.1:0", "", e.ReadyFile, nil, func(_ context.Context, conn netpoll.Connection) error {
		return echo(conn)
	})
}

func echo(conn netpoll.Connection) error {
	reader, writer := conn.Reader(), conn.Writer()
	n := reader.Len()
	in, err := reader.Next(n)
	if err != nil {
		return err
	}
	out, err := writer.Malloc(n)
	if err != nil {
		return err
	}
	copy(out, in)
	if err := writer.Flush(); err != nil {
		return err
	}
	return reader.Release()
}

// EchoRun is one measurement of the echo limit.
type EchoRun struct {
	Server      process.Command // becomes an EchoServer
	Connections int
	Depth       int // frames on their way on each connection
	Size        int // of a frame, in bytes
	Warmup      time.Duration
	Duration    time.Duration
}

// EchoResult is what an EchoRun saw.
type EchoResult struct {
	Frames    float64 // per second
	Reads     float64 // per second: how often a connection had something to read
	ServerCPU float64 // µs a frame
	ClientCPU float64 // µs a frame
	Latency   meter.Latency
}

// Run starts an EchoServer and measures it.
func (r EchoRun) Run(ctx context.Context) (result EchoResult, err error) {
	if r.Size < 1 || r.Depth < 1 || r.Depth*r.Size > EchoInFlight {
		return result, fmt.Errorf("benchmark: %d frames of %d bytes are not 1 to %d bytes on their way", r.Depth, r.Size, EchoInFlight)
	}
	if err := configureNetpoll(); err != nil {
		return result, fmt.Errorf("benchmark: %w", err)
	}
	dir, err := os.MkdirTemp("", "gannet-echo-")
	if err != nil {
		return result, fmt.Errorf("benchmark: %w", err)
	}
	defer os.RemoveAll(dir)
	readyFile := filepath.Join(dir, "ready")
	server, err := process.Start(ctx, r.Server.With("--ready-file", readyFile), readyFile)
	if err != nil {
		return result, err
	}
	load := echoLoad{size: r.Size, recorder: meter.NewRecorder()}
	result, err = load.measure(ctx, r, server)
	err = errors.Join(err, server.Stop())
	load.open.Wait()
	result.Latency = load.recorder.Summary()
	return result, err
}

func (l *echoLoad) measure(ctx context.Context, r EchoRun, server *process.Process) (result EchoResult, err error) {
	if err := l.dial(r, server.Listen); err != nil {
		return result, err
	}
	if err := meter.Rest(ctx, r.Warmup); err != nil {
		return result, err
	}
	l.measuring.Store(true)
	began, frames, reads := time.Now(), l.frames(), l.reads.Load()
	serverCPU, clientCPU := meter.CPU(server.PID), meter.CPU(os.Getpid())
	err = meter.Rest(ctx, r.Duration)
	// On a machine that is busy elsewhere a short measurement takes longer.
	for late := time.Now().Add(echoPatience); err == nil && l.frames() == frames && time.Now().Before(late); {
		err = meter.Rest(ctx, time.Millisecond)
	}
	if err != nil {
		return result, err
	}
	l.measuring.Store(false)
	frames = l.frames() - frames
	reads = l.reads.Load() - reads
	serverCPU, clientCPU = meter.CPU(server.PID)-serverCPU, meter.CPU(os.Getpid())-clientCPU
	seconds := time.Since(began).Seconds()
	if frames == 0 {
		return result, errors.New("benchmark: the echo server answered nothing")
	}
	return EchoResult{
		Frames:    float64(frames) / seconds,
		Reads:     float64(reads) / seconds,
		ServerCPU: meter.PerMessage(serverCPU, frames),
		ClientCPU: meter.PerMessage(clientCPU, frames),
	}, nil
}

// echoLoad is the client half of the echo limit. It leaves closing to the
// server: netpoll v0.7.2 waits on the poller until the poller has left a
// connection that is being closed, for ever when its handler runs there.
type echoLoad struct {
	size      int
	recorder  *meter.Recorder
	conns     []*echoConn
	reads     atomic.Uint64
	measuring atomic.Bool
	open      sync.WaitGroup // the connections that the server has not closed yet
}

// echoConn keeps a fixed number of frames on their way. Its fields belong to
// the poller that handles its input; others may load read.
type echoConn struct {
	netpoll.Connection
	load     *echoLoad
	sampler  meter.Sampler
	read     atomic.Uint64 // bytes
	written  uint64        // bytes
	mark     uint64        // latency is that of the frame which ends here …
	markedAt time.Time     // … and was sent then
}

func (l *echoLoad) dial(r EchoRun, address string) error {
	const dialTimeout = 5 * time.Second
	dialer := netpoll.NewDialer()
	for i := range r.Connections {
		conn, err := dialer.DialConnection("tcp", address, dialTimeout)
		if err != nil {
			return fmt.Errorf("benchmark: echo connection %d: %w", i, err)
		}
		n := r.Depth * r.Size
		// All fields are set before SetOnRequest gives them to the poller.
		c := &echoConn{
			Connection: conn, load: l, sampler: l.recorder.Sampler(),
			written: uint64(n), mark: uint64(n), markedAt: time.Now(),
		}
		l.conns = append(l.conns, c)
		l.open.Add(1)
		if err := conn.AddCloseCallback(c.closed); err != nil {
			return fmt.Errorf("benchmark: %w", err)
		}
		// Before the poller may answer: two Flushes at a time are an error.
		if err := c.flush(n); err != nil {
			return fmt.Errorf("benchmark: echo: %w", err)
		}
		if err := conn.SetOnRequest(func(context.Context, netpoll.Connection) error { return c.handle() }); err != nil {
			return fmt.Errorf("benchmark: %w", err)
		}
	}
	return nil
}

func (l *echoLoad) frames() (sum uint64) {
	for _, c := range l.conns {
		sum += c.read.Load() / uint64(l.size)
	}
	return sum
}

// handle takes what came and sends as many frames as it completed.
func (c *echoConn) handle() error {
	n := c.Reader().Len()
	if err := c.Reader().Skip(n); err != nil {
		return err
	}
	if err := c.Reader().Release(); err != nil {
		return err
	}
	c.load.reads.Add(1)
	read, size := c.read.Add(uint64(n)), uint64(c.load.size)
	frames := read/size - (read-uint64(n))/size
	if frames == 0 {
		return nil
	}
	c.written += frames * size
	if read >= c.mark {
		now := time.Now()
		if c.load.measuring.Load() {
			c.sampler.Add(int64(now.Sub(c.markedAt)))
		}
		c.mark, c.markedAt = c.written, now
	}
	return c.flush(int(frames * size))
}

// closed runs once handle does not any more.
func (c *echoConn) closed(netpoll.Connection) error {
	c.sampler.Flush()
	c.load.open.Done()
	return nil
}

// flush writes n bytes, whatever they are.
func (c *echoConn) flush(n int) error {
	if _, err := c.Writer().Malloc(n); err != nil {
		return err
	}
	return c.Writer().Flush()
}
