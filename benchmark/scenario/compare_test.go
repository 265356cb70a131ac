package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"gannet/benchmark/report"
)

// quickly is a comparison of the bare server with itself.
func quickly(runs int) *Pairs {
	return &Pairs{
		Users: 10, Size: 128, Warmup: 10 * time.Millisecond, Duration: 100 * time.Millisecond,
		CompareBare: true, Runs: runs, Memtable: 64, Program: program(),
	}
}

func TestAComparisonHasEveryFigureAndBar(t *testing.T) {
	p := quickly(1)
	p.JSON, p.Duration = true, 500*time.Millisecond
	p.Data = t.TempDir()
	var out, progress bytes.Buffer
	if err := p.Run(t.Context(), &out, &progress); err != nil {
		t.Fatal(err)
	}
	var c report.Comparison
	if err := json.Unmarshal(out.Bytes(), &c); err != nil {
		t.Fatal(err)
	}
	bars := map[string]report.Bar{}
	for _, r := range c.Rows {
		if r.Gannet.Runs != 1 || r.Bare.Runs != 1 {
			t.Errorf("%s, %s: %d and %d runs", r.Load, r.Figure, r.Gannet.Runs, r.Bare.Runs)
		}
		if r.Bar == nil {
			continue
		}
		bars[r.Load+", "+r.Figure] = *r.Bar
		if r.Gannet.Median <= 0 || r.Bare.Median <= 0 || r.Echo.Median <= 0 {
			t.Errorf("%s, %s: %v, %v, echo %v", r.Load, r.Figure, r.Gannet, r.Bare, r.Echo)
		}
		if r.Holds != r.Bar.Holds(r.Gannet, r.Bare) {
			t.Errorf("%s, %s: holds %v", r.Load, r.Figure, r.Holds)
		}
	}
	tail := report.Bar{Most: 2, Beyond: 2, Unit: "ms"}
	want := map[string]report.Bar{
		"window 1, acked, messages/s": {Least: 0.75}, "window 1, delivered, messages/s": {Least: 0.75},
		"window 32, acked, messages/s": {Least: 0.75}, "window 32, delivered, messages/s": {Least: 0.75},
		"1,000/s, send→deliver p50, ms": {Most: 1.5}, "1,000/s, send→ack p50, ms": {Most: 1.5},
		"10,000/s, send→deliver p99, ms": tail, "10,000/s, send→ack p99, ms": tail,
		"25,000/s, send→deliver p99, ms": tail, "25,000/s, send→ack p99, ms": tail,
	}
	for name, bar := range want {
		if bars[name] != bar {
			t.Errorf("%s: the bar is %+v, want %+v", name, bars[name], bar)
		}
	}
	if len(bars) != len(want) {
		t.Errorf("%d bars, want %d", len(bars), len(want))
	}
	cpu := 0
	for _, r := range c.Rows {
		if r.Figure == serverCPU.name {
			cpu++
		}
	}
	if cpu != len(comparisons) {
		t.Errorf("server CPU of %d loads", cpu)
	}
	if c.Command == "" || c.Conditions.Date.IsZero() || !strings.Contains(progress.String(), "to go") {
		t.Errorf("%q on %v; progress %q", c.Command, c.Conditions.Date, progress.String())
	}
	if left, err := os.ReadDir(p.Data); err != nil || len(left) > 0 {
		t.Errorf("%d folders are left behind, %v", len(left), err)
	}
}

func TestGannetAndTheBareServerTakeTurns(t *testing.T) {
	var progress bytes.Buffer
	c := comparison{pairs: quickly(3), line: report.NewProgress(&progress), began: time.Now()}
	turns, err := c.takeTurns(t.Context(), comparisons[3])
	if err != nil {
		t.Fatal(err)
	}
	if len(turns.gannet) != 3 || len(turns.bare) != 3 || len(turns.echo) != 3 {
		t.Errorf("%d runs of gannet, %d of the bare server, %d of the echo", len(turns.gannet), len(turns.bare), len(turns.echo))
	}
	var order []string
	for line := range strings.Lines(progress.String()) {
		if before, _, begins := strings.Cut(line, " …"); begins {
			order = append(order, before[strings.LastIndex(before, ", ")+2:])
		}
	}
	got := strings.Join(order, ", ")
	if want := "bare echo, gannet, bare server, bare echo, bare server, gannet, bare echo, gannet, bare server"; got != want {
		t.Errorf("measured %s, want %s", got, want)
	}
	for i, m := range turns.bare {
		if kind := setting(m, "server"); kind != "bare" {
			t.Errorf("run %d of the bare server was with server %q", i, kind)
		}
		if kind := setting(turns.gannet[i], "server"); kind != "own" {
			t.Errorf("run %d of gannet was with server %q", i, kind)
		}
	}
}

func setting(m *measurement, name string) string {
	for _, s := range m.settings {
		if s.Name == name {
			return s.Value
		}
	}
	return ""
}

func TestABrokenPromiseEndsAComparison(t *testing.T) {
	p := quickly(5)
	p.BareCommand = []string{liarArgument}
	var out bytes.Buffer
	err := p.Run(t.Context(), &out, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "faults") {
		t.Errorf("it ended with %v", err)
	}
	if s := out.String(); !strings.Contains(s, "1,000/s, bare server, run 1: user ") || !strings.Contains(s, "was given out twice") || strings.Contains(s, "| window 1 |") {
		t.Errorf("what was broken is not said, or it went on:\n%s", s)
	}
}

func TestAnInterruptedComparisonTellsWhatItHas(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := quickly(1)
	p.Duration = 300 * time.Millisecond
	// The second load has begun when its echo is announced.
	progress := writer(func(b []byte) {
		if bytes.HasPrefix(b, []byte("10,000/s")) {
			cancel()
		}
	})
	var out bytes.Buffer
	if err := p.Run(ctx, &out, progress); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); !strings.Contains(s, "| 1,000/s |") || strings.Contains(s, "| 10,000/s |") || !strings.Contains(s, "Interrupted") {
		t.Errorf("after the first load it says\n%s", s)
	}
}

type writer func(b []byte)

func (w writer) Write(b []byte) (int, error) {
	w(b)
	return len(b), nil
}

func TestAComparisonHasItsOwnLoads(t *testing.T) {
	for flag, set := range map[string]func(p *Pairs){
		"--window": func(p *Pairs) { p.Window = 1 }, "--rate": func(p *Pairs) { p.Rate = 1 },
		"--bare": func(p *Pairs) { p.Bare = true }, "--address": func(p *Pairs) { p.Address = "127.0.0.1:1" },
		"--keep": func(p *Pairs) { p.Keep = true }, "--cpuprofile": func(p *Pairs) { p.CPUProfile = "x" },
		"0 runs": func(p *Pairs) { p.Runs = 0 },
	} {
		p := quickly(1)
		set(p)
		if err := p.Run(t.Context(), io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("with %s: %v", flag, err)
		}
	}
}

func TestPairsEndWithTheirContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := quickly(1)
	p.CompareBare = false
	if err := p.Run(ctx, io.Discard, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled run ended with %v", err)
	}
}
