package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"gannet/benchmark/load"
	"gannet/benchmark/meter"
	"gannet/benchmark/report"
	gannet "gannet/sdk/go"
)

// Crash kills a server again and again under load and checks that nothing acked
// is lost, nothing comes twice to a device that remembers what it has, and nothing
// in a wrong order; that READ is where it was when its answer came, and that what
// came is delivered in the end. A killed process leaves to the system what it has
// written, so this says nothing about a loss of power. Its fields are flags.
type Crash struct {
	Rounds      int    `help:"How often the server is killed." default:"20"`
	Users       int    `help:"How many users; every two are a pair, and both write." default:"100"`
	Window      int    `help:"Messages that each user keeps on their way." default:"8"`
	Size        int    `help:"Bytes of a message's body." default:"128"`
	Seed        uint64 `help:"Seed of the moments at which the server is killed." default:"1"`
	ServerFlags string `help:"Further flags for the server." placeholder:"FLAGS"`
	Data        string `help:"Folder for the server's data; a temporary one without it." placeholder:"DIR"`
	Keep        bool   `help:"Keep the temporary folder."`
	JSON        bool   `name:"json" help:"Write the report as JSON."`

	Program `kong:"-"`
}

// Times of a crash run.
const (
	// A server lives from minLife to maxLife under load before it is killed: long
	// enough that it has all clients back and acks, short enough for many rounds.
	minLife = 300 * time.Millisecond
	maxLife = 2 * time.Second

	// reconnectTimeout is how long all clients together may take to come back.
	reconnectTimeout = 30 * time.Second

	// Clients come back faster than they would to a real server, so that a round
	// is spent on messages.
	crashBackoffMin = 20 * time.Millisecond
	crashBackoffMax = 200 * time.Millisecond
)

// Run plays the rounds, shows each of them on progress, and writes the report to
// out. When ctx is done it stops after the round and still checks. The error
// says that a promise was broken or that the server did not come back.
func (c *Crash) Run(ctx context.Context, out, progress io.Writer) (err error) {
	if c.Rounds < 1 {
		return fmt.Errorf("benchmark: %d rounds", c.Rounds)
	}
	line := report.NewProgress(progress)
	defer line.End()
	l, err := load.New(load.Config{
		Users: c.Users, Window: c.Window, Size: c.Size, Seed: c.Seed, SDK: true, Seqs: true,
	})
	if err != nil {
		return err
	}
	// What is begun is ended, so that there is something to check.
	whole := context.WithoutCancel(ctx)
	server := Server{ServerFlags: c.ServerFlags, Data: c.Data, Keep: c.Keep}
	t, err := server.open(ctx, &c.Program)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	defer l.Close()
	if err := l.Open(ctx, t.Server, line, gannet.WithBackoff(crashBackoffMin, crashBackoffMax)); err != nil {
		return err
	}
	r := report.New("crash", append([]report.Setting{
		report.Set("rounds", c.Rounds), report.Set("users", c.Users), report.Set("window", c.Window),
		report.Set("size", c.Size), report.Set("seed", c.Seed),
	}, t.settings()...)...)

	moments := rand.New(rand.NewPCG(c.Seed, 2))
	l.Start(0, 0)
	l.Send(whole)
	markers := l.StartMarkers(whole)
	defer markers.End()
	var slowest crashRound
	rounds := 0
	for ; rounds < c.Rounds && ctx.Err() == nil; rounds++ {
		r, err := playRound(whole, l, markers, t, minLife+time.Duration(moments.Int64N(int64(maxLife-minLife))))
		if err != nil {
			return err
		}
		slowest.restart = max(slowest.restart, r.restart)
		slowest.reconnect = max(slowest.reconnect, r.reconnect)
		line.End()
		line.Showf("round %d: killed after %.2f s, %d messages acked, %d in flight, restarted in %.2f s, all users back in %.2f s",
			rounds+1, r.life.Seconds(), r.acked, r.inFlight, r.restart.Seconds(), r.reconnect.Seconds())
	}
	line.End()
	line.Showf("waiting for the last messages")
	l.Stop()
	l.AwaitQuiet(whole)
	line.Showf("reading every conversation")
	l.CheckHistories(whole)
	if err := errors.Join(markers.Check(whole), l.CheckCursors(whole)); err != nil {
		return err
	}
	read := markers.End()
	l.Close()
	l.Verify()
	line.End()

	n := l.Counts()
	r.Add("kills survived", float64(rounds), "")
	r.Add("acked", float64(n.Acked), "messages")
	r.Add("delivered", float64(n.Delivered), "messages")
	r.Add("READs answered", float64(read), "")
	r.Add("longest restart", slowest.restart.Seconds()*1e3, "ms")
	r.Add("longest reconnect of all users", slowest.reconnect.Seconds()*1e3, "ms")
	return r.Finish(out, c.JSON, &l.Faults)
}

// crashRound is one life of the server and its end.
type crashRound struct {
	life      time.Duration
	acked     uint64        // messages, in this life
	inFlight  uint64        // messages not acked when it was killed
	restart   time.Duration // until the server listened again
	reconnect time.Duration // from then until all users were back
}

// playRound lets the server live, kills it, starts it again, waits until all users
// are back, and asks how far each has read. Half of the users do not read from just
// before the kill: what they read last must be there exactly.
func playRound(ctx context.Context, l *load.Load, markers *load.Markers, t *target, life time.Duration) (r crashRound, err error) {
	r.life = life
	before := l.Counts().Acked
	if err := meter.Rest(ctx, life); err != nil {
		return r, err
	}
	if err := markers.Hold(ctx); err != nil {
		return r, err
	}
	defer markers.Release()
	t.process.Kill()
	r.acked = l.Counts().Acked - before
	r.inFlight = l.Pending()
	if err := l.AwaitOnline(ctx, 0, reconnectTimeout); err != nil {
		return r, err
	}
	began := time.Now()
	if err := t.start(ctx); err != nil {
		return r, err
	}
	r.restart = time.Since(began)
	began = time.Now()
	if err := l.AwaitOnline(ctx, l.Users(), reconnectTimeout); err != nil {
		return r, err
	}
	r.reconnect = time.Since(began)
	return r, markers.Check(ctx)
}
