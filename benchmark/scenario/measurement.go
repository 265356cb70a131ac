package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"time"

	"gannet/benchmark/load"
	"gannet/benchmark/meter"
	"gannet/benchmark/report"
	"gannet/benchmark/yardstick"
)

// measurement is what one run of pairs gave. What is counted is what happened
// between the warm-up and the end.
type measurement struct {
	counts               load.Counts
	seconds              float64
	serverCPU, clientCPU time.Duration
	server               meter.Usage // at the end
	load.Latencies
	silence load.Silence
	used    usages        // where a cluster is measured
	paused  meter.Latency // of the machine, where that was asked for

	settings []report.Setting
	notes    []string
	faults   *report.Faults
}

func (m *measurement) perSecond(n uint64) float64 { return float64(n) / m.seconds }

// perMessage gives microseconds of CPU time for each message that was delivered.
func (m *measurement) perMessage(cpu time.Duration) float64 {
	return meter.PerMessage(cpu, m.counts.Delivered)
}

// tellFaults adds its faults to those of several, and says how many there are.
func (m *measurement) tellFaults(name string, all *report.Faults) int {
	count, first := m.faults.List()
	for i := range count {
		if i < len(first) {
			all.Addf("%s: %s", name, first[i])
		} else {
			all.Addf("%s: one more", name)
		}
	}
	return count
}

// timeWithPauses is time, with a PauseWatch beside it where that was asked for.
func (p *Pairs) timeWithPauses(ctx context.Context, l *load.Load, t *target, line *report.Progress) (*measurement, error) {
	if !p.Pauses {
		return p.time(ctx, l, t, line), nil
	}
	command, err := p.command(p.PausesCommand)
	if err != nil {
		return nil, err
	}
	w, err := yardstick.WatchPauses(ctx, command)
	if err != nil {
		return nil, err
	}
	m := p.time(ctx, l, t, line)
	m.paused, err = w.Stop()
	return m, err
}

// time runs the load to its end, or to that of ctx.
func (p *Pairs) time(ctx context.Context, l *load.Load, t *target, line *report.Progress) *measurement {
	l.Start(p.Warmup, p.Duration)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		l.Send(ctx)
	}()
	watch(ctx, l, p.Warmup, line, "warming up")
	before := snapshot(l, t)
	watch(ctx, l, p.Duration, line, "measuring")
	after := snapshot(l, t)
	l.Stop() // earlier than planned when ctx is done
	<-sent
	return after.since(before)
}

// watch shows once a second how the load gets on, for d or until ctx is done.
func watch(ctx context.Context, l *load.Load, d time.Duration, line *report.Progress, phase string) {
	began, last := l.Now(), l.Counts()
	for next := began; next < began+d; {
		next = min(next+time.Second, began+d)
		if meter.Rest(ctx, next-l.Now()) != nil {
			return
		}
		now := l.Counts()
		line.Showf("%s: %.0f s, %s acked and %s delivered messages/s", phase, (next - began).Seconds(),
			report.Number(float64(now.Acked-last.Acked)), report.Number(float64(now.Delivered-last.Delivered)))
		last = now
	}
}

// state is all counters at one moment.
type state struct {
	counts    load.Counts
	at        time.Duration
	server    meter.Usage
	clientCPU time.Duration
	used      usages
}

// since gives what came after an earlier moment.
func (s state) since(before state) *measurement {
	return &measurement{
		counts:    s.counts.Minus(before.counts),
		seconds:   (s.at - before.at).Seconds(),
		serverCPU: s.server.CPU - before.server.CPU,
		clientCPU: s.clientCPU - before.clientCPU,
		server:    s.server,
		used:      s.used.minus(before.used),
	}
}

func snapshot(l *load.Load, t *target) state {
	s := state{counts: l.Counts(), at: l.Now(), clientCPU: meter.CPU(os.Getpid())}
	if t.pid != 0 {
		s.server, _ = meter.ReadUsage(t.pid) // without /proc the figures are left out
	}
	if t.usages != nil {
		s.used = t.usages()
	}
	return s
}

// startProfile writes a CPU profile of this process until stop is called; with
// no file it does nothing.
func startProfile(file string) (stop func() error, err error) {
	if file == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("benchmark: %w", err), f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}
