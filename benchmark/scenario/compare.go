package scenario

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"time"

	"gannet/benchmark/report"
	"gannet/benchmark/yardstick"
)

// compare measures gannet and the bare server in turn under each of the loads and
// writes a table to out. When ctx is done it writes what it has. A figure below its
// bar is no error; a broken promise is one, and ends it.
func (p *Pairs) compare(ctx context.Context, out io.Writer, line *report.Progress) error {
	if err := p.mayCompare(); err != nil {
		return err
	}
	c := comparison{
		Comparison: report.Comparison{Command: report.Command(), Conditions: report.Here()},
		pairs:      p, line: line, began: time.Now(),
	}
	for _, under := range comparisons {
		t, err := c.takeTurns(ctx, under)
		if err != nil && ctx.Err() == nil {
			return err
		}
		c.add(under, t)
		if count, _ := c.faults.List(); count > 0 {
			break
		}
		if ctx.Err() != nil {
			c.Notes = append(c.Notes, "Interrupted: this is what there was until then.")
			break
		}
	}
	line.End()
	return c.Finish(out, p.JSON, &c.faults)
}

// mayCompare refuses what compare decides itself.
func (p *Pairs) mayCompare() error {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"--window", p.Window != 0}, {"--rate", p.Rate != 0}, {"--bare", p.Bare}, {"--address", p.Address != ""},
		{"--keep", p.Keep}, {"--cpuprofile", p.CPUProfile != ""},
	} {
		if f.set {
			return fmt.Errorf("benchmark: --compare-bare has loads and servers of its own; leave out %s", f.name)
		}
	}
	if p.Runs < 1 {
		return fmt.Errorf("benchmark: %d runs", p.Runs)
	}
	if p.Data == "" {
		return nil
	}
	if err := os.MkdirAll(p.Data, 0o700); err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	return nil
}

// comparison is one that is being made.
type comparison struct {
	report.Comparison
	pairs  *Pairs
	line   *report.Progress
	faults report.Faults
	began  time.Time
	rounds int // that are done, of all loads
}

// turns is what was measured under one load.
type turns struct {
	gannet, bare []*measurement
	echo         []yardstick.EchoResult
}

// takeTurns measures an echo, gannet and the bare server, and so on; who comes first
// of the two changes from round to round. It ends early with an error, with ctx, and
// when a promise was broken.
func (c *comparison) takeTurns(ctx context.Context, under compared) (t turns, err error) {
	for round := range c.pairs.Runs {
		c.show(under.name, round, "bare echo")
		echo := c.pairs.under(under, false)
		e, err := echo.echo(ctx, min(echoDuration, c.pairs.Duration))
		if err != nil {
			return t, err
		}
		t.echo = append(t.echo, e)
		for turn := range 2 {
			bare := (turn+round)%2 == 1
			m, err := c.measure(ctx, under, round, bare)
			if err != nil {
				return t, err
			}
			if bare {
				t.bare = append(t.bare, m)
			} else {
				t.gannet = append(t.gannet, m)
			}
			if count, _ := m.faults.List(); count > 0 {
				return t, nil
			}
		}
		c.rounds++
	}
	return t, nil
}

// measure measures one of the two once.
func (c *comparison) measure(ctx context.Context, under compared, round int, bare bool) (*measurement, error) {
	who := "gannet"
	if bare {
		who = "bare server"
	}
	c.show(under.name, round, who)
	// What the run before has left behind, here and for the disk, is none of the
	// next one's business.
	runtime.GC()
	syscall.Sync()
	run := c.pairs.under(under, bare)
	m, err := run.measure(ctx, report.NewProgress(io.Discard))
	if err == nil {
		err = ctx.Err() // an interrupted run is shorter than the others
	}
	if err != nil {
		return nil, err
	}
	c.line.Showf("%s, run %d of %d, %s: %s acked messages/s, send→deliver p50 %.2f ms, p99 %.2f ms", under.name, round+1, c.pairs.Runs,
		who, report.Number(m.perSecond(m.counts.Acked)), m.Deliver.P50/1e3, m.Deliver.P99/1e3)
	c.line.End()
	for _, note := range m.notes {
		c.Notes = append(c.Notes, fmt.Sprintf("%s, %s, run %d: %s", under.name, who, round+1, note))
	}
	m.tellFaults(fmt.Sprintf("%s, %s, run %d", under.name, who, round+1), &c.faults)
	if len(c.Settings) == 0 && !bare {
		c.Settings = c.pairs.compareSettings(m.settings)
	}
	return m, nil
}

// under gives one run.
func (p *Pairs) under(c compared, bare bool) *Pairs {
	run := *p
	run.Window, run.Rate, run.Bare = c.window, c.rate, bare
	run.Server.temp, run.Server.Data = p.Data, ""
	if bare {
		run.Server.ServerFlags = ""
	}
	return &run
}

// compareSettings gives what all runs have in common; those of gannet know more.
func (p *Pairs) compareSettings(run []report.Setting) []report.Setting {
	s := []report.Setting{report.Set("runs", p.Runs), report.Set("bare memtable", fmt.Sprint(p.Memtable, " MiB"))}
	for _, of := range run {
		switch of.Name {
		case "users", "client", "size", "warmup", "duration", "seed", "file system", "server flags":
			s = append(s, of)
		}
	}
	return s
}

// add adds the figures of a load.
func (c *comparison) add(under compared, t turns) {
	if len(t.gannet) == 0 || len(t.bare) == 0 {
		return
	}
	row := func(f figure, bar *report.Bar) {
		var echo []float64
		if f.echo != nil {
			for _, e := range t.echo {
				echo = append(echo, f.echo(e))
			}
		}
		c.Add(under.name, f.name, f.spread(t.gannet), f.spread(t.bare), report.SpreadOf(echo), bar)
	}
	for _, f := range under.barred {
		row(f, &under.bar)
	}
	for _, f := range under.others(c.pairs.Pauses) {
		row(f, nil)
	}
	for _, of := range []struct {
		who  string
		runs []*measurement
	}{{"gannet", t.gannet}, {"bare server", t.bare}} {
		for i, m := range of.runs {
			if m.silence.Seconds > 0 {
				c.Notes = append(c.Notes, fmt.Sprintf("%s, %s, run %d: %d seconds without an ack.", under.name, of.who, i+1, m.silence.Seconds))
			}
		}
	}
}

// show says what is being measured, and how long all of it will still take.
func (c *comparison) show(load string, round int, who string) {
	total := len(comparisons) * c.pairs.Runs
	left := time.Duration(total-c.rounds) * c.pairs.roundTime()
	if c.rounds > 0 {
		left = time.Since(c.began) / time.Duration(c.rounds) * time.Duration(total-c.rounds)
	}
	c.line.Showf("%s, run %d of %d, %s … (about %v to go)", load, round+1, c.pairs.Runs, who, left.Round(time.Second))
}

// roundTime is about how long an echo and two runs take.
func (p *Pairs) roundTime() time.Duration {
	const around = 3 * time.Second // starting, logging in, settling, removing
	return min(echoDuration, p.Duration)*7/6 + 2*(p.Warmup+p.Duration+around)
}
