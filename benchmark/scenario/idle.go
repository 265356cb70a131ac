package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"syscall"
	"time"

	"gannet/benchmark/load"
	"gannet/benchmark/meter"
	"gannet/benchmark/report"
	gannet "gannet/sdk/go"
)

// Idle opens logged-in connections that say nothing, measures the memory that
// each of them takes from the server, and sees that heartbeats keep them. Its
// fields are flags.
type Idle struct {
	Connections int           `help:"How many connections." default:"15000"`
	ConnectRate int           `help:"Connections begun per second at most." default:"3000"`
	Heartbeat   time.Duration `help:"Heartbeat interval that clients ask for." default:"5s"`
	Hold        time.Duration `help:"How long to hold the connections; silence of two heartbeats would end them." default:"15s"`
	JSON        bool          `name:"json" help:"Write the report as JSON."`

	Server
	Program `kong:"-"`
}

// Limits of an idle run.
const (
	// maxIdleLogins bounds the logins under way at once, well below the queue of
	// connections that the server has not accepted yet.
	maxIdleLogins = 1000

	// spareFiles is how many files a process needs beside its connections: the
	// store's tables, above all.
	spareFiles = 500
)

// Run opens the connections, holds them and writes the report to out. The error
// says that connections could not be had or were lost.
func (c *Idle) Run(ctx context.Context, out, progress io.Writer) (err error) {
	if c.Connections < 1 || c.ConnectRate < 1 {
		return fmt.Errorf("benchmark: %d connections, %d per second", c.Connections, c.ConnectRate)
	}
	if err := enoughFiles(c.Connections); err != nil {
		return err
	}
	line := report.NewProgress(progress)
	defer line.End()
	t, err := c.Server.open(ctx, &c.Program, "--debug", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()

	before, err := t.memory(ctx)
	if err != nil {
		return err
	}
	o := &idlers{target: t}
	defer o.close()
	began := time.Now()
	if err := o.open(ctx, c, line); err != nil {
		return err
	}
	login := time.Since(began)
	settled, err := t.memory(ctx)
	if err != nil {
		return err
	}
	if err := o.hold(ctx, c.Hold, line); err != nil {
		return err
	}
	held, err := t.memory(ctx)
	if err != nil {
		return err
	}
	line.End()

	r := report.New("idle", append([]report.Setting{
		report.Set("connections", c.Connections), report.Set("connect rate", c.ConnectRate),
		report.Set("heartbeat", c.Heartbeat), report.Set("hold", c.Hold),
	}, t.settings()...)...)
	r.Add("logged in", float64(c.Connections)/login.Seconds(), "connections/s")
	n := float64(c.Connections)
	for _, at := range []struct {
		when string
		memory
	}{{"settled", settled}, {"held", held}} {
		if at.RSS > 0 {
			r.Add("resident, "+at.when, (float64(at.RSS)-float64(before.RSS))/n, "bytes/connection")
		}
		if at.HeapInUse > 0 {
			r.Add("heap and stacks in use after a collection, "+at.when,
				(float64(at.HeapInUse+at.StackInUse)-float64(before.HeapInUse+before.StackInUse))/n, "bytes/connection")
		}
	}
	if held.HeapInUse > 0 {
		r.Add("goroutines of the server", float64(held.Goroutines), "")
		if held.Connections != uint64(c.Connections) {
			o.faults.Addf("the server counts %d connections, there are %d", held.Connections, c.Connections)
		}
	}
	r.Add("server memory", float64(held.RSS)/1e6, "MB")
	return r.Finish(out, c.JSON, &o.faults)
}

// enoughFiles sees that this process, and a server with the same limit, may
// open as many files as there are connections.
func enoughFiles(connections int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("benchmark: limit of open files: %w", err)
	}
	if need := uint64(connections + spareFiles); need > limit.Cur {
		return fmt.Errorf("benchmark: %d connections need %d open files, the limit is %d: raise it (ulimit -n) or ask for at most %d connections",
			connections, need, limit.Cur, max(0, int64(limit.Cur)-spareFiles))
	}
	return nil
}

// idlers are the clients of an idle run.
type idlers struct {
	target  *target
	faults  report.Faults
	online  atomic.Int64
	clients []*gannet.Client
}

// open logs the clients in, no faster than asked for.
func (o *idlers) open(ctx context.Context, c *Idle, line *report.Progress) error {
	o.clients = make([]*gannet.Client, c.Connections)
	first, began := load.FirstUser(), time.Now()
	opened := make(chan error, 1)
	go func() {
		opened <- load.InParallel(ctx, maxIdleLogins, c.Connections, func(ctx context.Context, i int) error {
			turn := time.Duration(i) * time.Second / time.Duration(c.ConnectRate)
			if err := meter.Rest(ctx, turn-time.Since(began)); err != nil {
				return err
			}
			return o.dial(ctx, first+uint64(i), i, c.Heartbeat)
		})
	}()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case err := <-opened:
			return err
		case <-second.C:
			line.Showf("%d of %d connections logged in", o.online.Load(), c.Connections)
		}
	}
}

// dial logs connection i in; it is counted as long as it holds.
func (o *idlers) dial(ctx context.Context, user uint64, i int, heartbeat time.Duration) error {
	token, err := o.target.Token(user)
	if err != nil {
		return fmt.Errorf("benchmark: token of user %d: %w", user, err)
	}
	dialer, err := load.DialerFor(o.target.Address, i)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, load.LoginTimeout)
	defer cancel()
	o.clients[i], err = gannet.Dial(ctx, o.target.Address, token,
		gannet.WithDialer(dialer.DialContext), gannet.WithHeartbeat(heartbeat), gannet.WithName(load.ClientName),
		gannet.WithHandler(gannet.Handler{Event: func(_ context.Context, _ *gannet.Client, e gannet.Event) {
			if e.Kind == gannet.EventConnected {
				o.online.Add(1)
			}
			if e.Kind == gannet.EventLost {
				o.online.Add(-1)
				o.faults.Addf("user %d: the connection was lost: %v", user, e.Err)
			}
		}}))
	if err != nil {
		return fmt.Errorf("benchmark: connection %d: %w", i, err)
	}
	return nil
}

// hold keeps the connections for d, or until ctx is done.
func (o *idlers) hold(ctx context.Context, d time.Duration, line *report.Progress) error {
	for end := time.Now().Add(d); time.Now().Before(end); {
		line.Showf("holding %d connections, %.0f s to go", o.online.Load(), time.Until(end).Seconds())
		if err := meter.Rest(ctx, min(time.Second, time.Until(end))); err != nil {
			return err
		}
	}
	if n := o.online.Load(); n != int64(len(o.clients)) {
		o.faults.Addf("%d of %d connections are logged in at the end", n, len(o.clients))
	}
	return nil
}

func (o *idlers) close() {
	ctx, cancel := context.WithTimeout(context.Background(), load.CloseTimeout)
	defer cancel()
	_ = load.InParallel(ctx, load.MaxLogins, len(o.clients), func(_ context.Context, i int) error {
		if c := o.clients[i]; c != nil {
			_ = c.Close(ctx) // nothing was sent
		}
		return nil
	})
}
