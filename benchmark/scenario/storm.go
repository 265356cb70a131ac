package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"gannet/benchmark/load"
	"gannet/benchmark/meter"
	"gannet/benchmark/report"
)

// Storm kills a server under load and has all clients come back at one moment, once it
// listens again: how long until the last one is welcomed, what memory does that take,
// and is everything there that was acked? The clients are the SDK's, which syncs after
// each login. Its fields are flags.
type Storm struct {
	Users       int           `help:"How many users; every two are a pair, and both write." default:"10000"`
	Rate        uint64        `help:"Messages that all of them send per second." default:"2000"`
	Size        int           `help:"Bytes of a message's body." default:"128"`
	Before      time.Duration `help:"How long they write before the server is killed." default:"5s"`
	After       time.Duration `help:"How long they go on once all are back." default:"5s"`
	Within      time.Duration `help:"Bar: how soon all are to be back." default:"10s"`
	Memory      int           `help:"Bar: MB that the server may have resident at most." default:"600"`
	NoBars      bool          `help:"A bar that is missed is no error."`
	Seed        uint64        `help:"Seed of what is random in the load." default:"1"`
	ServerFlags string        `help:"Further flags for the server." placeholder:"FLAGS"`
	Data        string        `help:"Folder for the server's data; a temporary one without it." placeholder:"DIR"`
	Keep        bool          `help:"Keep the temporary folder."`
	JSON        bool          `name:"json" help:"Write the report as JSON."`

	Program `kong:"-"`
}

const (
	// stormWindow lets a user go on while the server is away.
	stormWindow = 64

	// noticeTimeout is how long clients may take to notice that the server is gone.
	noticeTimeout = 30 * time.Second

	// stormTimeout is how long the storm may take before it is given up.
	stormTimeout = 2 * time.Minute
)

// Run plays the storm and writes the report to out. When ctx is done before the kill it
// ends; later it still checks. The error says that a bar was missed or a promise broken.
func (s *Storm) Run(ctx context.Context, out, progress io.Writer) (err error) {
	line := report.NewProgress(progress)
	defer line.End()
	if err := enoughFiles(s.Users); err != nil {
		return err
	}
	l, err := load.New(load.Config{
		Users: s.Users, Window: stormWindow, Size: s.Size, Rate: s.Rate, Seed: s.Seed, SDK: true, Seqs: true, Mixed: true,
	})
	if err != nil {
		return err
	}
	server := Server{ServerFlags: s.ServerFlags, Data: s.Data, Keep: s.Keep}
	t, err := server.open(ctx, &s.Program)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	defer l.Close()
	defer l.LetConnect()
	line.Showf("%d users log in", s.Users)
	if err := l.Open(ctx, t.Server, line); err != nil {
		return err
	}
	l.Start(0, 0)
	// What is begun is ended, so that there is something to check.
	whole := context.WithoutCancel(ctx)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		l.Send(whole)
	}()
	defer func() {
		l.Stop()
		<-sent
	}()
	line.Showf("they write for %v", s.Before)
	if err := meter.Rest(ctx, s.Before); err != nil {
		return err
	}
	w, err := s.storm(whole, l, t, line)
	if err != nil {
		return err
	}
	line.Showf("all users are back after %.2f s; they write for %v", w.back.Seconds(), s.After)
	_ = meter.Rest(ctx, s.After) // whoever interrupts it has it checked
	l.Stop()
	<-sent
	line.Showf("waiting for the last messages")
	l.AwaitQuiet(whole)
	usage, err := meter.ReadUsage(t.pid)
	if err != nil {
		return fmt.Errorf("benchmark: memory of the server: %w", err)
	}
	line.Showf("reading every conversation")
	l.CheckHistories(whole)
	if err := l.CheckCursors(whole); err != nil {
		return err
	}
	l.Close()
	l.Verify()
	line.End()
	return s.report(out, l, t, w, usage)
}

// weather is how a storm went.
type weather struct {
	before   meter.Usage   // of the server, before it was killed
	acked    uint64        // messages, until then
	inFlight uint64        // messages not acked then
	restart  time.Duration // until the server listened again
	back     time.Duration // from then until all users were logged in
	failed   uint64        // connects, meanwhile
}

// storm kills the server, starts it again, and lets everybody come back.
func (s *Storm) storm(ctx context.Context, l *load.Load, t *target, line *report.Progress) (w weather, err error) {
	if w.before, err = meter.ReadUsage(t.pid); err != nil {
		return w, fmt.Errorf("benchmark: memory of the server: %w", err)
	}
	l.HoldConnects()
	w.acked, w.inFlight = l.Counts().Acked, l.Pending()
	t.process.Kill()
	line.Showf("the server is killed")
	if err := l.AwaitWaiting(ctx, noticeTimeout); err != nil {
		return w, err
	}
	began := time.Now()
	if err := t.start(ctx); err != nil {
		return w, err
	}
	w.restart = time.Since(began)
	line.Showf("the server listens again after %.2f s, and all users connect", w.restart.Seconds())
	failed := l.Counts().FailedConnects
	began = time.Now()
	l.LetConnect()
	err = l.AwaitOnline(ctx, l.Users(), stormTimeout)
	w.back, w.failed = time.Since(began), l.Counts().FailedConnects-failed
	return w, err
}

func (s *Storm) report(out io.Writer, l *load.Load, t *target, w weather, usage meter.Usage) error {
	r := report.New("storm", append([]report.Setting{
		report.Set("users", s.Users), report.Set("rate", s.Rate), report.Set("size", s.Size), report.Set("seed", s.Seed),
	}, t.settings()...)...)
	n := l.Counts()
	r.Add("restart", w.restart.Seconds(), "s")
	r.Add("all users are back", w.back.Seconds(), "s")
	r.Add("failed connects", float64(w.failed), "")
	r.Add("acked", float64(n.Acked), "messages")
	r.Add("acked before the kill", float64(w.acked), "messages")
	r.Add("on their way at the kill", float64(w.inFlight), "messages")
	r.Add("delivered", float64(n.Delivered), "messages")
	r.Add("refused for the moment", float64(n.Again), "messages")
	r.Add("server memory before the kill", float64(w.before.RSS)/1e6, "MB")
	r.Add("server memory, peak after it", float64(usage.Peak)/1e6, "MB")
	missed := s.missed(w, usage)
	for _, m := range missed {
		r.Notes = append(r.Notes, "Bar missed: "+m+".")
	}
	if len(missed) == 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("Every bar holds: all back within %v, at most %d MB.", s.Within, s.Memory))
	}
	err := r.Finish(out, s.JSON, &l.Faults)
	if err == nil && len(missed) > 0 && !s.NoBars {
		err = fmt.Errorf("benchmark: %d bars were missed", len(missed))
	}
	return err
}

// missed says which bars were missed.
func (s *Storm) missed(w weather, usage meter.Usage) (list []string) {
	if w.back > s.Within {
		list = append(list, fmt.Sprintf("all users were back after %.1f s, %v is the bar", w.back.Seconds(), s.Within))
	}
	if peak := float64(usage.Peak) / 1e6; peak > float64(s.Memory) {
		list = append(list, fmt.Sprintf("the server had %.0f MB, %d is the bar", peak, s.Memory))
	}
	return list
}
