package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"gannet/benchmark/meter"
	"gannet/benchmark/report"
	"gannet/benchmark/soak"
)

// Soak kills apps and their server again and again, without a word, and checks by what the
// apps wrote down that every message which an app was told is taken is delivered to the
// other app, and comes twice only where that one died over it or had sent it back. The
// clients are the SDK's, with file stores. A killed process leaves to the system what it
// has written, so this says nothing about a loss of power. Its fields are flags.
type Soak struct {
	Duration    time.Duration `help:"How long apps and server are killed." default:"10m"`
	Clients     int           `help:"How many clients; every two are a pair in different apps, and both write." default:"50"`
	Apps        int           `help:"Processes that host them." default:"10"`
	AppLife     time.Duration `help:"Mean time until an app is killed." default:"15s"`
	ServerLife  time.Duration `help:"Mean time until the server is killed." default:"10s"`
	Pause       time.Duration `help:"Mean pause between the messages of a client." default:"500ms"`
	Handle      time.Duration `help:"Mean time that an app needs to handle a message." default:"5ms"`
	Size        int           `help:"Bytes of a message's body; by default so many that the stores of the clients are rewritten on the way." default:"4096"`
	Seed        uint64        `help:"Seed of the moments at which they are killed." default:"1"`
	ServerFlags string        `help:"Further flags for the server." placeholder:"FLAGS"`
	Data        string        `help:"Folder for the server's data; a temporary one without it." placeholder:"DIR"`
	Keep        bool          `help:"Keep the temporary folder, with the diaries of the clients; it stays when a fault was found."`
	JSON        bool          `name:"json" help:"Write the report as JSON."`

	Program `kong:"-"`
}

const (
	// maxAbsence is how long an app or the server stays away at most.
	maxAbsence = time.Second

	// soakPatience is how long everything that is owed may take to arrive once nobody is
	// killed any more: a message that was sent back comes again after a minute at most.
	soakPatience = 2 * time.Minute

	// soakGlance is how often the diaries are read meanwhile.
	soakGlance = 500 * time.Millisecond
)

// Run kills for as long as it shall and writes the report to out. When ctx is done it
// stops killing and still checks. The error says that a promise was broken or that the
// server did not come back.
func (s *Soak) Run(ctx context.Context, out, progress io.Writer) (err error) {
	line := report.NewProgress(progress)
	defer line.End()
	if s.Clients < 2 || s.Clients%2 != 0 || s.Apps < 2 || s.Apps > s.Clients {
		return fmt.Errorf("benchmark: %d clients in %d apps: clients are pairs in different apps, and none is empty", s.Clients, s.Apps)
	}
	// What is begun is ended, so that there is something to check.
	whole := context.WithoutCancel(ctx)
	server := Server{ServerFlags: s.ServerFlags, Data: s.Data, Keep: s.Keep}
	t, err := server.open(ctx, &s.Program)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	c, err := s.crowd(t)
	if err != nil {
		return err
	}
	defer c.kill()
	line.Showf("%d apps begin", s.Apps)
	if err := c.start(whole, false); err != nil {
		return err
	}
	r := report.New("soak", append([]report.Setting{
		report.Set("duration", s.Duration), report.Set("clients", s.Clients), report.Set("apps", s.Apps), report.Set("app life", s.AppLife),
		report.Set("server life", s.ServerLife), report.Set("pause", s.Pause), report.Set("size", s.Size), report.Set("seed", s.Seed),
	}, t.settings()...)...)
	began := time.Now()
	servers, err := s.killAll(ctx, c, t, line)
	if err != nil {
		return err
	}
	took := time.Since(began)
	v, settled, err := s.settle(whole, c, line)
	if err != nil {
		return err
	}
	line.End()

	var faults report.Faults
	for _, f := range append(c.faults.all(), v.Faults...) {
		faults.Addf("%s", f)
	}
	for _, m := range v.Missing {
		faults.Addf("%s", m)
	}
	for _, user := range v.Waiting {
		faults.Addf("user %d did not catch up after the last start", user)
	}
	for _, user := range v.Open {
		faults.Addf("user %d did not end in order", user)
	}
	if want := c.lives(); v.Lives != want {
		faults.Addf("diaries tell of %d lives of clients, there were %d", v.Lives, want)
	}
	if v.Delivered == 0 {
		faults.Addf("nothing was delivered")
	}
	r.Add("time under kills", took.Seconds(), "s")
	r.Add("apps killed", float64(c.killed), "")
	r.Add("server killed", float64(servers), "")
	r.Add("lives of clients", float64(v.Lives), "")
	r.Add("taken, as the app was told", float64(v.Taken), "messages")
	r.Add("sent though the app died untold", float64(v.Untold), "messages")
	r.Add("outcome told", float64(v.Acked), "messages")
	r.Add("delivered", float64(v.Delivered), "messages")
	r.Add("again, after the app sent it back", float64(v.Again), "deliveries")
	r.Add("twice, where the app died over it", float64(v.Twice), "deliveries")
	r.Add("of those, just after it was through", float64(v.Late), "deliveries")
	r.Add("until all was there, nobody killed", settled.Seconds(), "s")
	if n, _ := faults.List(); n > 0 && t.dir != "" {
		t.keep = true
		r.Notes = append(r.Notes, "The diaries of the clients are in "+c.dir+".")
	}
	return r.Finish(out, s.JSON, &faults)
}

// killAll kills apps and the server at random moments and starts them again, until it is
// time or ctx is done. It gives how often it killed the server.
func (s *Soak) killAll(ctx context.Context, c *crowd, t *target, line *report.Progress) (servers int, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.Duration)
	defer cancel()
	whole := context.WithoutCancel(ctx)
	var apps sync.WaitGroup
	apps.Go(func() {
		moments := rand.New(rand.NewPCG(s.Seed, 1))
		for mean := s.AppLife / time.Duration(s.Apps); meter.Rest(ctx, upTo(moments, 2*mean)) == nil; {
			c.restart(whole, moments.IntN(s.Apps), upTo(moments, maxAbsence))
		}
	})
	defer apps.Wait()
	moments := rand.New(rand.NewPCG(s.Seed, 2))
	for began := time.Now(); meter.Rest(ctx, upTo(moments, 2*s.ServerLife)) == nil; servers++ {
		t.process.Kill()
		_ = meter.Rest(whole, upTo(moments, maxAbsence))
		if err := t.start(whole); err != nil {
			cancel()
			return servers, err
		}
		line.Showf("%.0f s, the server was killed %d times", time.Since(began).Seconds(), servers+1)
	}
	return servers, nil
}

// settle waits until everything that is owed is there, ends all apps in order, and starts
// them a last time to see that nothing comes again.
func (s *Soak) settle(ctx context.Context, c *crowd, line *report.Progress) (v *soak.Verdict, took time.Duration, err error) {
	began := time.Now()
	c.drain()
	line.Showf("waiting for the last messages")
	if err := c.await(ctx, func(v *soak.Verdict) bool { return len(v.Missing) == 0 }); err != nil {
		return nil, 0, err
	}
	took = time.Since(began)
	c.stop()
	line.Showf("starting all apps once more")
	if err := c.start(ctx, true); err != nil {
		return nil, 0, err
	}
	if err := c.await(ctx, func(v *soak.Verdict) bool { return len(v.Waiting) == 0 }); err != nil {
		return nil, 0, err
	}
	c.stop()
	v, err = soak.Judge(c.dir, s.Clients)
	return v, took, err
}

// upTo draws a time.
func upTo(moments *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(moments.Int64N(int64(max(most, 1))))
}

// crowd makes the apps, which are not started yet.
func (s *Soak) crowd(t *target) (*crowd, error) {
	c := &crowd{settings: s, target: t, dir: filepath.Join(t.dir, "apps"), apps: make([]*member, s.Apps)}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	for i := range c.apps {
		c.apps[i] = &member{name: i}
	}
	for i := range s.Clients {
		m := c.apps[i%s.Apps]
		m.users = append(m.users, uint64(i+1))
	}
	return c, nil
}
