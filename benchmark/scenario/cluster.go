package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"syscall"
	"time"

	"gannet/benchmark/cluster"
	"gannet/benchmark/load"
	"gannet/benchmark/report"
)

// Cluster measures a whole cluster on this machine, in turn with a bare pipeline of the
// same libraries. Its fields are flags.
type Cluster struct {
	Services  string        `required:"" env:"GANNET_TEST_SERVICES" placeholder:"DIR" help:"Folder of the servers that scripts/services started."`
	Users     int           `help:"How many users; every two are a pair, and both write." default:"1000"`
	Size      int           `help:"Bytes of a message's body." default:"128"`
	Queues    int           `help:"Queues of the cluster." default:"4"`
	Gateways  int           `help:"Gateways; the pipeline has as many." default:"2"`
	Logics    int           `help:"Logic nodes; the pipeline has one." default:"1"`
	Transfers int           `help:"Transfer nodes; the pipeline has one." default:"1"`
	RecordKB  int           `name:"record-kb" help:"KiB of a record of the pipeline at most." default:"64"`
	Loads     []string      `help:"Only these of the loads." default:"1000/s,5000/s,window 1,window 32"`
	NoBare    bool          `name:"no-bare" help:"Leave the pipeline out."`
	Runs      int           `help:"How often each is measured." default:"3"`
	Warm      time.Duration `help:"How long the pipeline runs with 32 users first: the broker's JVM needs a minute of small records." default:"60s"`
	Warmup    time.Duration `help:"Time before each measurement." default:"4s"`
	Duration  time.Duration `help:"Length of each measurement." default:"10s"`
	Seed      uint64        `help:"Seed of what is random in the load." default:"1"`
	JSON      bool          `name:"json" help:"Write the report as JSON."`

	Scaling       bool   `help:"Instead measure what a message costs with each number of nodes and of conversations, without the pipeline; one table at the end."`
	Rate          uint64 `help:"With --scaling: messages a second of all users together. With more than half of the smallest number of conversations several messages of one share acks and rows of the history, so that few conversations cost less. 0: each user keeps --window on their way." default:"500"`
	Window        int    `help:"With --scaling: messages that each user has on their way, or may have with a rate." default:"32"`
	Nodes         []int  `help:"With --scaling: so many nodes of each role." default:"1,2,4"`
	Grow          bool   `help:"With --scaling: --users, --rate and --conversations are those of one node of each role, and grow with the nodes, so that a node has as much to do however many there are. The queues stay: a cluster has those that it was made with, and each gateway has a lane for each."`
	Conversations []int  `help:"With --scaling: so many conversations, multiples of --users. The users stand in a ring, and each writes to the nearest in turn." default:"1000,10000,100000"`

	Program `kong:"-"`
}

// clusterLoads are the loads under which gannet and the pipeline are compared.
var clusterLoads = []compared{
	{"1000/s", 0, 1_000, []figure{deliverP99}, report.Bar{Most: 3}},
	{"5000/s", 0, 5_000, []figure{deliverP99}, report.Bar{Most: 3}},
	{"window 1", 1, 0, []figure{ackedRate, deliveredRate}, report.Bar{Least: 0.5}},
	{"window 32", 32, 0, []figure{ackedRate, deliveredRate}, report.Bar{Least: 0.5}},
}

// Run measures and writes a table in Markdown. A figure below its bar is no error; a
// broken promise is one.
func (c *Cluster) Run(ctx context.Context, out, progress io.Writer) error {
	line := report.NewProgress(progress)
	defer line.End()
	if c.Runs < 1 || c.Gateways < 1 || c.Logics < 1 || c.Transfers < 1 || c.Queues < 1 {
		return errors.New("benchmark: runs, queues and nodes of each role begin at 1")
	}
	if c.Grow && !c.Scaling {
		return errors.New("benchmark: --grow is for --scaling")
	}
	var points []*point
	if c.Scaling {
		var err error
		if points, err = c.points(); err != nil {
			return err
		}
	}
	for _, name := range c.Loads {
		if !slices.ContainsFunc(clusterLoads, func(l compared) bool { return l.name == name }) {
			return fmt.Errorf("benchmark: there is no load %q", name)
		}
	}
	s, err := cluster.ReadServices(c.Services)
	if err != nil {
		return err
	}
	if c.Warm > 0 {
		line.Showf("warming the broker up for %v", c.Warm)
		warm := *c
		warm.Users, warm.Warmup, warm.Duration = 32, 0, c.Warm
		if _, err := warm.measure(ctx, clusterLoads[2], s, true); err != nil {
			return err
		}
	}
	if c.Scaling {
		return c.scale(ctx, points, s, line, out)
	}
	r := report.Comparison{Command: report.Command(), Conditions: report.Here(), Beside: "bare pipeline", Settings: c.settings()}
	var faults report.Faults
	for _, under := range clusterLoads {
		if !slices.Contains(c.Loads, under.name) {
			continue
		}
		gannet, bare, err := c.takeTurns(ctx, under, s, line, &faults)
		c.add(&r, under, gannet, bare)
		if count, _ := faults.List(); count > 0 {
			break
		}
		if err != nil {
			if ctx.Err() == nil {
				return err
			}
			r.Notes = append(r.Notes, "Interrupted: this is what there was until then.")
			break
		}
	}
	line.End()
	return r.Finish(out, c.JSON, &faults)
}

// settings say how the measurement was asked to run.
func (c *Cluster) settings() []report.Setting {
	s := []report.Setting{report.Set("users", c.Users), report.Set("size", c.Size), report.Set("queues", c.Queues)}
	if c.Scaling {
		s = append(s, report.Set("window", c.Window), report.Set("rate", c.Rate), report.Set("times the nodes", c.Grow))
	} else {
		s = append(s,
			report.Set("gateways", c.Gateways), report.Set("logics", c.Logics), report.Set("transfers", c.Transfers),
			report.Set("records of the pipeline", fmt.Sprint(c.RecordKB, " KiB")))
	}
	return append(s, report.Set("runs", c.Runs), report.Set("JVM warmed for", c.Warm), report.Set("warmup", c.Warmup),
		report.Set("duration", c.Duration), report.Set("seed", c.Seed), report.Set("file system", report.FileSystem(c.Services)))
}

// takeTurns measures gannet and the pipeline in turn; who comes first changes.
func (c *Cluster) takeTurns(ctx context.Context, under compared, s *cluster.Services, line *report.Progress, faults *report.Faults) (gannet, bare []*measurement, err error) {
	for round := range c.Runs {
		for turn := range 2 {
			isBare := (turn+round)%2 == 1
			if isBare && c.NoBare {
				continue
			}
			who := "gannet"
			if isBare {
				who = "bare pipeline"
			}
			name := fmt.Sprintf("%s, run %d of %d, %s", under.name, round+1, c.Runs, who)
			line.Showf("%s …", name)
			runtime.GC()
			syscall.Sync() // what the run before has left behind is none of the next one's business
			m, err := c.measure(ctx, under, s, isBare)
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return gannet, bare, fmt.Errorf("%s: %w", name, err)
			}
			line.Showf("%s: %s acked messages/s, send→deliver p50 %.2f ms, p99 %.2f ms", name,
				report.Number(m.perSecond(m.counts.Acked)), m.Deliver.P50/1e3, m.Deliver.P99/1e3)
			line.End()
			count := m.tellFaults(name, faults)
			if isBare {
				bare = append(bare, m)
			} else {
				gannet = append(gannet, m)
			}
			if count > 0 {
				return gannet, bare, nil
			}
		}
	}
	return gannet, bare, nil
}

// measure starts a cluster or a pipeline, measures it once and ends it.
func (c *Cluster) measure(ctx context.Context, under compared, s *cluster.Services, bare bool) (m *measurement, err error) {
	p := Pairs{
		Users: c.Users, Window: under.window, Rate: under.rate, Size: c.Size, Seed: c.Seed,
		Warmup: c.Warmup, Duration: c.Duration,
	}
	l, err := load.New(load.Config{Users: p.Users, Window: p.window(), Size: p.Size, Rate: p.Rate, Seed: p.Seed})
	if err != nil {
		return nil, err
	}
	f, err := c.open(ctx, s, bare)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	defer l.Close()
	quiet := report.NewProgress(io.Discard)
	t := f.target()
	if err := l.Open(ctx, t.Server, quiet); err != nil {
		return nil, err
	}
	m = p.time(ctx, l, t, quiet)
	l.AwaitQuiet(context.WithoutCancel(ctx))
	l.Close()
	l.Verify()
	m.Latencies, m.silence, m.faults = l.Latencies(), l.Silence(), &l.Faults
	return m, nil
}

// add adds the figures of a load.
func (c *Cluster) add(r *report.Comparison, under compared, gannet, bare []*measurement) {
	if len(gannet) == 0 {
		return
	}
	row := func(f figure, bar *report.Bar) {
		if len(bare) == 0 {
			bar = nil
		}
		r.Add(under.name, f.name, f.spread(gannet), f.spread(bare), report.Spread{}, bar)
	}
	for _, f := range under.barred {
		row(f, &under.bar)
	}
	for _, f := range under.others(false) {
		if f.name != serverCPU.name {
			row(f, nil)
		}
	}
	for _, f := range clusterFigures(slices.Concat(gannet, bare)) {
		row(f, nil)
	}
}
