package benchmark

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	gannet "gannet/sdk/go"
)

// Crash kills a server again and again under load and checks that nothing acked
// is lost, nothing comes twice and nothing in a wrong order. A killed process
// leaves to the system what it has written, so this says nothing about a loss of
// power. Its fields are flags.
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
	line := newProgress(progress)
	defer line.end()
	l, err := newLoad(c.Users, c.Window, c.Size, 0, c.Seed)
	if err != nil {
		return err
	}
	l.sdk, l.keepSeqs = true, true
	// What is begun is ended, so that there is something to check.
	whole := context.WithoutCancel(ctx)
	server := Server{ServerFlags: c.ServerFlags, Data: c.Data, Keep: c.Keep}
	t, err := server.open(ctx, &c.Program)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	defer l.close()
	if err := l.open(ctx, t, line, gannet.WithBackoff(crashBackoffMin, crashBackoffMax)); err != nil {
		return err
	}
	report := newReport("crash", append([]Setting{
		setting("rounds", c.Rounds), setting("users", c.Users), setting("window", c.Window),
		setting("size", c.Size), setting("seed", c.Seed),
	}, t.settings()...)...)

	moments := rand.New(rand.NewPCG(c.Seed, 2))
	l.start(0, forever)
	l.send(whole)
	var slowest crashRound
	rounds := 0
	for ; rounds < c.Rounds && ctx.Err() == nil; rounds++ {
		r, err := playRound(whole, l, t, minLife+time.Duration(moments.Int64N(int64(maxLife-minLife))))
		if err != nil {
			return err
		}
		slowest.restart = max(slowest.restart, r.restart)
		slowest.reconnect = max(slowest.reconnect, r.reconnect)
		line.end()
		line.showf("round %d: killed after %.2f s, %d messages acked, %d in flight, restarted in %.2f s, all users back in %.2f s",
			rounds+1, r.life.Seconds(), r.acked, r.inFlight, r.restart.Seconds(), r.reconnect.Seconds())
	}
	line.end()
	line.showf("waiting for the last messages")
	l.until.Store(l.clock.now())
	l.settle(whole)
	line.showf("reading every conversation")
	l.checkHistories(whole)
	l.close()
	l.verify()
	line.end()

	n := l.counts()
	report.figure("kills survived", float64(rounds), "")
	report.figure("acked", float64(n.acked), "messages")
	report.figure("delivered", float64(n.delivered), "messages")
	report.figure("longest restart", slowest.restart.Seconds()*1e3, "ms")
	report.figure("longest reconnect of all users", slowest.reconnect.Seconds()*1e3, "ms")
	return report.finish(out, c.JSON, &l.faults)
}

// forever is longer than any run.
const forever = 1000 * time.Hour

// crashRound is one life of the server and its end.
type crashRound struct {
	life      time.Duration
	acked     uint64        // messages, in this life
	inFlight  uint64        // messages not acked when it was killed
	restart   time.Duration // until the server listened again
	reconnect time.Duration // from then until all users were back
}

// playRound lets the server live, kills it, starts it again and waits until all
// users are back.
func playRound(ctx context.Context, l *load, t *target, life time.Duration) (r crashRound, err error) {
	r.life = life
	before := l.counts().acked
	if err := rest(ctx, life); err != nil {
		return r, err
	}
	t.process.kill()
	r.acked = l.counts().acked - before
	for _, u := range l.users {
		r.inFlight += u.pending()
	}
	if err := l.awaitOnline(ctx, 0); err != nil {
		return r, err
	}
	began := time.Now()
	if err := t.start(ctx); err != nil {
		return r, err
	}
	r.restart = time.Since(began)
	began = time.Now()
	if err := l.awaitOnline(ctx, len(l.users)); err != nil {
		return r, err
	}
	r.reconnect = time.Since(began)
	return r, nil
}
