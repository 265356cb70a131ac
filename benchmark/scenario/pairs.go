package benchmark

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"time"
)

// Pairs has users write to each other in pairs, and measures throughput,
// latency and cost. Every message is checked on its way. Its fields are flags.
type Pairs struct {
	Users      int           `help:"How many users; every two are a pair, and both write." default:"1000"`
	Window     int           `help:"Messages that each user keeps on their way, or with --rate may have. 0: 1, with --rate 256." default:"0"`
	Rate       uint64        `help:"Send this many messages per second in all, on a fixed timetable, instead of keeping windows full. Latency counts from the timetable."`
	Size       int           `help:"Bytes of a message's body." default:"128"`
	Warmup     time.Duration `help:"Time before the measurement." default:"2s"`
	Duration   time.Duration `help:"Length of the measurement." default:"10s"`
	Seed       uint64        `help:"Seed of what is random in the load." default:"1"`
	WithLimit  bool          `help:"Measure a bare echo with as many connections first and show its figures beside."`
	SDK        bool          `name:"sdk" help:"Let users talk through the Go SDK, as applications do. Without it they have a lean client of the benchmark's own, which leaves more of the machine to the server."`
	Bare       bool          `help:"Start a bare server instead: netpoll, one writer and Pebble with nothing around them. It shows what these parts leave to a server on this machine."`
	Pauses     bool          `help:"Also show for how long the machine keeps each core from a thread that comes before all others: for other work of the host, or of the kernel. Costs about one per cent of each core (Linux, as root)."`
	JSON       bool          `name:"json" help:"Write the report as JSON."`
	CPUProfile string        `name:"cpuprofile" help:"Write a CPU profile of the load generator." placeholder:"FILE"`

	Server
	Program `kong:"-"`
}

// loadGOGC keeps the generator's own garbage collections, which take all cores
// for some milliseconds and would count as the server's latency, to one in a
// minute of 25,000 messages/s. GOGC in the environment counts more.
const loadGOGC = 1000

// echoDuration is how long the echo beside a run is measured.
const echoDuration = 3 * time.Second

// Run runs the load and writes the report to out. When ctx is done it stops
// early and still reports. The error says that a message was lost, repeated,
// reordered or corrupted, or that there was nothing to measure.
func (p *Pairs) Run(ctx context.Context, out, progress io.Writer) (err error) {
	line := newProgress(progress)
	defer line.end()
	l, err := newLoad(p.Users, p.window(), p.Size, p.Rate, p.Seed)
	if err != nil {
		return err
	}
	l.sdk = p.SDK || !haveLoop
	if os.Getenv("GOGC") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(loadGOGC))
	}
	if p.Pauses {
		if err := mayComeFirst(); err != nil {
			return err
		}
	}
	var limit echoResult
	if p.WithLimit {
		if limit, err = p.echo(ctx, line); err != nil {
			return err
		}
	}
	p.Server.bare = p.Bare
	t, err := p.Server.open(ctx, &p.Program)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	defer l.close()
	if err := l.open(ctx, t, line); err != nil {
		return err
	}
	stopProfile, err := startProfile(p.CPUProfile)
	if err != nil {
		return err
	}
	m, paused, err := p.measureWithPauses(ctx, l, t, line)
	if err := errors.Join(err, stopProfile()); err != nil {
		return err
	}
	// An interrupted run is settled and checked all the same.
	line.showf("waiting for the last messages")
	l.settle(context.WithoutCancel(ctx))
	l.close()
	l.verify()
	line.end()

	report := newReport("pairs", append(p.settings(l), t.settings()...)...)
	p.figures(report, m, limit)
	report.Latencies = []Distribution{{"send to ack", l.ackTimes.summary()}, {"send to deliver", l.deliverTimes.summary()}}
	if p.Rate > 0 {
		report.Latencies = append(report.Latencies, Distribution{"lag of the generator", l.lag.summary()})
	}
	if p.WithLimit {
		report.Latencies = append(report.Latencies, Distribution{"echo", limit.latency})
	}
	if p.Pauses {
		report.Latencies = append(report.Latencies, Distribution{pausesName, paused})
	}
	if ctx.Err() != nil {
		report.Notes = append(report.Notes, "Interrupted: the measurement is shorter than asked for.")
	}
	if n := l.counts().again; n > 0 {
		report.Notes = append(report.Notes, fmt.Sprintf("%d messages were refused for the moment and sent again.", n))
	}
	if n, first := l.lostConnections(); n > 0 {
		report.Notes = append(report.Notes, fmt.Sprintf("%d connections were lost on the way, the first that of %s", n, first))
	}
	return report.finish(out, p.JSON, &l.faults)
}

// window gives the window in force. An open loop shall not be held up by it,
// unless by a server that has stood still for long.
func (p *Pairs) window() int {
	switch {
	case p.Window != 0:
		return p.Window
	case p.Rate > 0:
		return 256
	default:
		return 1
	}
}

func (p *Pairs) echo(ctx context.Context, line *progress) (echoResult, error) {
	executable, err := p.executable()
	if err != nil {
		return echoResult{}, err
	}
	depth := 1
	if p.Rate == 0 {
		depth = echoDepth(p.window(), p.Size)
	}
	line.showf("echo at depth %d", depth)
	return echoRun{
		executable: executable, command: p.EchoCommand, connections: p.Users, depth: depth,
		size: min(p.Size, echoInFlight), warmup: echoDuration / 6, duration: echoDuration,
	}.run(ctx)
}

// measurement is what was counted between the warm-up and the end.
type measurement struct {
	counts
	seconds              float64
	serverCPU, clientCPU time.Duration
	server               usage // at the end
}

// measureWithPauses is measure, with a PauseWatch beside it where that was asked for.
func (p *Pairs) measureWithPauses(ctx context.Context, l *load, t *target, line *progress) (m measurement, paused Latency, err error) {
	if !p.Pauses {
		return p.measure(ctx, l, t, line), paused, nil
	}
	w, err := startPauses(ctx, &p.Program)
	if err != nil {
		return m, paused, err
	}
	m = p.measure(ctx, l, t, line)
	paused, err = w.stop()
	return m, paused, err
}

// measure runs the load to its end, or to that of ctx.
func (p *Pairs) measure(ctx context.Context, l *load, t *target, line *progress) measurement {
	l.start(p.Warmup, p.Duration)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		l.send(ctx)
	}()
	p.watch(ctx, l, p.Warmup, line, "warming up")
	before := snapshot(l, t)
	p.watch(ctx, l, p.Duration, line, "measuring")
	after := snapshot(l, t)
	l.until.Store(l.clock.now()) // earlier than planned when ctx is done
	<-sent
	return measurement{
		counts:    after.counts.minus(before.counts),
		seconds:   time.Duration(after.at - before.at).Seconds(),
		serverCPU: after.server.CPU - before.server.CPU,
		clientCPU: after.clientCPU - before.clientCPU,
		server:    after.server,
	}
}

// watch shows once a second how the load gets on, for d or until ctx is done.
func (p *Pairs) watch(ctx context.Context, l *load, d time.Duration, line *progress, phase string) {
	began, last := l.clock.now(), l.counts()
	for next := began; next < began+int64(d); {
		next = min(next+int64(time.Second), began+int64(d))
		wait := next - l.clock.now()
		if rest(ctx, time.Duration(wait)) != nil {
			return
		}
		now := l.counts()
		line.showf("%s: %.0f s, %s acked and %s delivered messages/s", phase, time.Duration(next-began).Seconds(),
			number(float64(now.acked-last.acked)), number(float64(now.delivered-last.delivered)))
		last = now
	}
}

// state is all counters at one moment.
type state struct {
	counts
	at        int64
	server    usage
	clientCPU time.Duration
}

func snapshot(l *load, t *target) state {
	s := state{counts: l.counts(), at: l.clock.now(), clientCPU: cpu(os.Getpid())}
	if t.pid != 0 {
		s.server, _ = readUsage(t.pid) // without /proc the figures are left out
	}
	return s
}

func (p *Pairs) settings(l *load) []Setting {
	s := []Setting{setting("users", p.Users)}
	if l.sdk {
		s = append(s, setting("client", "sdk"))
	} else {
		s = append(s, setting("client", "lean"))
	}
	if p.Rate > 0 {
		s = append(s, setting("rate", p.Rate))
	}
	return append(s, setting("window", p.window()), setting("size", p.Size), setting("warmup", p.Warmup),
		setting("duration", p.Duration), setting("seed", p.Seed))
}

func (p *Pairs) figures(r *Report, m measurement, limit echoResult) {
	perSecond := func(n uint64) float64 { return float64(n) / m.seconds }
	per := func(n uint64) float64 { return float64(n) / float64(max(1, m.delivered)) }
	r.Figures = append(r.Figures,
		Figure{"acked", perSecond(m.acked), "messages/s", limit.frames},
		Figure{"delivered", perSecond(m.delivered), "messages/s", limit.frames})
	if m.server.RSS > 0 {
		r.Figures = append(r.Figures, Figure{"server CPU", perMessage(m.serverCPU, m.delivered), "µs/message", limit.serverCPU})
	}
	r.Figures = append(r.Figures, Figure{"client CPU", perMessage(m.clientCPU, m.delivered), "µs/message", limit.clientCPU})
	if m.server.RSS > 0 {
		r.figure("server memory", float64(m.server.RSS)/1e6, "MB")
		r.figure("server memory, peak", float64(m.server.Peak)/1e6, "MB")
	}
	r.figure("to the server", per(m.out), "bytes/message")
	r.figure("from the server", per(m.in), "bytes/message")
	r.figure("client writes", per(m.writes), "per message")
	r.figure("client reads", per(m.reads), "per message")
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
