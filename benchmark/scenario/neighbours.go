package scenario

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"gannet/benchmark/load"
	"gannet/benchmark/meter"
	"gannet/benchmark/report"
)

const (
	// neighbourRate is what a pair of neighbours sends in all, per second.
	neighbourRate = 100

	// neighbourSize is the body of a message, neighbourFrame what an echo gets for it.
	neighbourSize  = 128
	neighbourFrame = 170

	// neighbourWindow is more than an attack of some seconds can hold up.
	neighbourWindow = 1024

	// echoPatience is how long what is on its way to an echo may take at the end.
	echoPatience = 20 * time.Second
)

// neighbours are two users who write to each other while somebody else attacks.
type neighbours interface {
	begin(ctx context.Context)               // to write, on a timetable
	stop()                                   // writing
	end(ctx context.Context, f *report.Felt) // waits for everything and leaves
	leave()
}

// pair are neighbours on a server.
type pair struct {
	load *load.Load
	sent chan struct{}
	left sync.Once // for its sockets are closed by number
}

// meet logs a pair in.
func meet(ctx context.Context, s load.Server, seed uint64) (neighbours, error) {
	l, err := load.New(load.Config{Users: 2, Window: neighbourWindow, Size: neighbourSize, Rate: neighbourRate, Seed: seed})
	if err != nil {
		return nil, err
	}
	if err := l.Open(ctx, s, report.NewProgress(io.Discard)); err != nil {
		l.Close()
		return nil, err
	}
	return &pair{load: l}, nil
}

func (p *pair) begin(ctx context.Context) {
	p.load.Start(0, 0)
	p.sent = make(chan struct{})
	go func() {
		defer close(p.sent)
		p.load.Send(ctx)
	}()
}

func (p *pair) stop() {
	p.load.Stop()
	<-p.sent
}

func (p *pair) end(ctx context.Context, f *report.Felt) {
	p.load.AwaitQuiet(ctx)
	n := p.load.Counts()
	f.Undelivered = p.load.Pending() + n.Acked - min(n.Acked, n.Delivered)
	p.leave()
	p.load.Verify()
	felt := p.load.Latencies().Deliver
	f.P50, f.P99 = felt.P50/1e3, felt.P99/1e3
	f.Messages, f.Refused = n.Delivered, n.Again
	_, f.Faults = p.load.Faults.List()
}

func (p *pair) leave() { p.left.Do(p.load.Close) }

// echoed are neighbours on an echo server, each of whom writes to themself.
type echoed struct {
	conns    [2]net.Conn
	took     *meter.Recorder
	came     atomic.Uint64
	sent     uint64
	over     chan struct{}
	writing  sync.WaitGroup
	reading  sync.WaitGroup
	began    time.Time
	interval time.Duration
}

// meetEcho connects a pair.
func meetEcho(ctx context.Context, address string) (neighbours, error) {
	e := &echoed{took: meter.NewRecorder(), over: make(chan struct{}), interval: time.Second / neighbourRate}
	for i := range e.conns {
		dialer, err := load.DialerFor(address, i)
		if err == nil {
			e.conns[i], err = dialer.DialContext(ctx, "tcp", address)
		}
		if err != nil {
			e.leave()
			return nil, fmt.Errorf("benchmark: echo: %w", err)
		}
	}
	return e, nil
}

func (e *echoed) begin(context.Context) {
	e.began = time.Now()
	for side, conn := range e.conns {
		e.reading.Go(func() { e.read(side, conn) })
	}
	e.writing.Go(e.write)
}

// due gives when message k of both is due.
func (e *echoed) due(k uint64) time.Time { return e.began.Add(time.Duration(k) * e.interval) }

func (e *echoed) write() {
	frame := make([]byte, neighbourFrame)
	for ; ; e.sent++ {
		select {
		case <-e.over:
			return
		case <-time.After(time.Until(e.due(e.sent))):
		}
		if _, err := e.conns[e.sent%2].Write(frame); err != nil {
			return // shows as undelivered
		}
	}
}

func (e *echoed) read(side int, conn net.Conn) {
	sampler := e.took.Sampler()
	defer sampler.Flush()
	frame := make([]byte, neighbourFrame)
	for k := uint64(side); ; k += 2 {
		if _, err := io.ReadFull(conn, frame); err != nil {
			return
		}
		sampler.Add(int64(time.Since(e.due(k))))
		e.came.Add(1)
	}
}

func (e *echoed) stop() {
	close(e.over)
	e.writing.Wait()
}

func (e *echoed) end(ctx context.Context, f *report.Felt) {
	for until := time.Now().Add(echoPatience); e.came.Load() < e.sent && time.Now().Before(until); {
		if meter.Rest(ctx, 10*time.Millisecond) != nil {
			break
		}
	}
	e.leave()
	e.reading.Wait()
	felt := e.took.Summary()
	f.P50, f.P99 = felt.P50/1e3, felt.P99/1e3
	f.Messages, f.Undelivered = e.came.Load(), e.sent-e.came.Load()
}

func (e *echoed) leave() {
	for _, conn := range e.conns {
		if conn != nil {
			_ = conn.Close()
		}
	}
}
