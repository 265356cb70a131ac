package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"gannet/benchmark/load"
	"gannet/benchmark/report"
	"gannet/benchmark/yardstick"
)

// Pairs has users write to each other in pairs, and measures throughput,
// latency and cost. Every message is checked on its way. Its fields are flags.
type Pairs struct {
	Users       int           `help:"How many users; every two are a pair, and both write." default:"1000"`
	Window      int           `help:"Messages that each user keeps on their way, or with --rate may have. 0: 1, with --rate 256." default:"0"`
	Rate        uint64        `help:"Send this many messages per second in all, on a fixed timetable, instead of keeping windows full. Latency counts from the timetable."`
	Size        int           `help:"Bytes of a message's body." default:"128"`
	Warmup      time.Duration `help:"Time before the measurement." default:"2s"`
	Duration    time.Duration `help:"Length of the measurement." default:"10s"`
	Seed        uint64        `help:"Seed of what is random in the load." default:"1"`
	CompareBare bool          `help:"Measure windows of 1 and 32 and open loops of 1,000/s, 10,000/s and 25,000/s, each with gannet and with the bare server in turn, and write a table in Markdown."`
	Runs        int           `help:"With --compare-bare: how often each is measured." default:"5"`
	WithLimit   bool          `help:"Measure a bare echo with as many connections first and show its figures beside."`
	SDK         bool          `name:"sdk" help:"Let users talk through the Go SDK, as applications do. Without it they have a lean client of the benchmark's own, which leaves more of the machine to the server."`
	Bare        bool          `help:"Start a bare server instead: netpoll, one writer and Pebble with nothing around them. It shows what these parts leave to a server on this machine."`
	Memtable    int           `name:"bare-memtable" help:"MiB that Pebble gathers in the bare server before it writes a table. The default is more than a run of some seconds sends: the bare server does not pay for flushes. With 64 it does, as gannet." default:"1024"`
	Pauses      bool          `help:"Also show for how long the machine keeps each core from a thread that comes before all others: for other work of the host, or of the kernel. Costs about one per cent of each core (Linux, as root)."`
	JSON        bool          `name:"json" help:"Write the report as JSON."`
	CPUProfile  string        `name:"cpuprofile" help:"Write a CPU profile of the load generator." placeholder:"FILE"`

	Server
	Program `kong:"-"`
}

// echoDuration is how long the echo beside a run is measured.
const echoDuration = 3 * time.Second

// Run runs the load and writes the report to out. When ctx is done it stops
// early and still reports. The error says that a message was lost, repeated,
// reordered or corrupted, or that there was nothing to measure.
func (p *Pairs) Run(ctx context.Context, out, progress io.Writer) error {
	line := report.NewProgress(progress)
	defer line.End()
	if p.Pauses {
		if err := yardstick.MayWatchPauses(); err != nil {
			return err
		}
	}
	if p.CompareBare {
		return p.compare(ctx, out, line)
	}
	var limit yardstick.EchoResult
	if p.WithLimit {
		line.Showf("a bare echo")
		var err error
		if limit, err = p.echo(ctx, echoDuration); err != nil {
			return err
		}
	}
	m, err := p.measure(ctx, line)
	if err != nil {
		return err
	}
	line.End()
	r := report.New("pairs", m.settings...)
	p.figures(r, m, limit)
	r.Latencies = []report.Distribution{{Name: "send to ack", Latency: m.Ack}, {Name: "send to deliver", Latency: m.Deliver}}
	if p.Rate > 0 {
		r.Latencies = append(r.Latencies, report.Distribution{Name: "lag of the generator", Latency: m.Lag})
	}
	if p.WithLimit {
		r.Latencies = append(r.Latencies, report.Distribution{Name: "echo", Latency: limit.Latency})
	}
	if p.Pauses {
		r.Latencies = append(r.Latencies, report.Distribution{Name: yardstick.PausesName, Latency: m.paused})
	}
	r.Notes = m.notes
	if ctx.Err() != nil {
		r.Notes = append(r.Notes, "Interrupted: the measurement is shorter than asked for.")
	}
	return r.Finish(out, p.JSON, m.faults)
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

// echo measures a bare echo with as many connections and as much on its way.
func (p *Pairs) echo(ctx context.Context, d time.Duration) (yardstick.EchoResult, error) {
	server, err := p.command(p.EchoCommand)
	if err != nil {
		return yardstick.EchoResult{}, err
	}
	depth := 1
	if p.Rate == 0 {
		depth = yardstick.EchoDepth(p.window(), p.Size)
	}
	return yardstick.EchoRun{
		Server: server, Connections: p.Users, Depth: depth,
		Size: min(p.Size, yardstick.EchoInFlight), Warmup: d / 6, Duration: d,
	}.Run(ctx)
}

// measure starts the server, runs the load to its end and checks it.
func (p *Pairs) measure(ctx context.Context, line *report.Progress) (m *measurement, err error) {
	l, err := load.New(load.Config{
		Users: p.Users, Window: p.window(), Size: p.Size, Rate: p.Rate, Seed: p.Seed, SDK: p.SDK,
	})
	if err != nil {
		return nil, err
	}
	p.Server.bare, p.Server.memtable = p.Bare, p.Memtable
	t, err := p.Server.open(ctx, &p.Program)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	defer l.Close()
	if err := l.Open(ctx, t.Server, line); err != nil {
		return nil, err
	}
	stopProfile, err := startProfile(p.CPUProfile)
	if err != nil {
		return nil, err
	}
	m, err = p.timeWithPauses(ctx, l, t, line)
	if err := errors.Join(err, stopProfile()); err != nil {
		return nil, err
	}
	// An interrupted run is ended and checked all the same.
	line.Showf("waiting for the last messages")
	l.AwaitQuiet(context.WithoutCancel(ctx))
	l.Close()
	l.Verify()
	m.Latencies, m.silence, m.faults = l.Latencies(), l.Silence(), &l.Faults
	m.settings = append(p.settings(), t.settings()...)
	if n := l.Counts().Again; n > 0 {
		m.notes = append(m.notes, fmt.Sprintf("%d messages were refused for the moment and sent again.", n))
	}
	if n, first := l.LostConnections(); n > 0 {
		m.notes = append(m.notes, fmt.Sprintf("%d connections were lost on the way, the first that of %s", n, first))
	}
	return m, nil
}

func (p *Pairs) settings() []report.Setting {
	client := "lean"
	if p.SDK || !load.HaveLean {
		client = "sdk"
	}
	s := []report.Setting{report.Set("users", p.Users), report.Set("client", client)}
	if p.Rate > 0 {
		s = append(s, report.Set("rate", p.Rate))
	}
	return append(s, report.Set("window", p.window()), report.Set("size", p.Size), report.Set("warmup", p.Warmup),
		report.Set("duration", p.Duration), report.Set("seed", p.Seed))
}

func (p *Pairs) figures(r *report.Report, m *measurement, limit yardstick.EchoResult) {
	per := func(n uint64) float64 { return float64(n) / float64(max(1, m.counts.Delivered)) }
	r.Figures = append(r.Figures,
		report.Figure{Name: "acked", Value: m.perSecond(m.counts.Acked), Unit: "messages/s", Limit: limit.Frames},
		report.Figure{Name: "delivered", Value: m.perSecond(m.counts.Delivered), Unit: "messages/s", Limit: limit.Frames})
	r.Add("longest time without an ack", float64(m.silence.Longest.Milliseconds()), "ms")
	r.Add("seconds without an ack", float64(m.silence.Seconds), "")
	if m.server.RSS > 0 {
		r.Figures = append(r.Figures, report.Figure{Name: "server CPU", Value: m.perMessage(m.serverCPU), Unit: "µs/message", Limit: limit.ServerCPU})
	}
	r.Figures = append(r.Figures, report.Figure{Name: "client CPU", Value: m.perMessage(m.clientCPU), Unit: "µs/message", Limit: limit.ClientCPU})
	if m.server.RSS > 0 {
		r.Add("server memory", float64(m.server.RSS)/1e6, "MB")
		r.Add("server memory, peak", float64(m.server.Peak)/1e6, "MB")
	}
	r.Add("to the server", per(m.counts.Out), "bytes/message")
	r.Add("from the server", per(m.counts.In), "bytes/message")
	r.Add("client writes", per(m.counts.Writes), "per message")
	r.Add("client reads", per(m.counts.Reads), "per message")
}
