package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"gannet/benchmark/cluster"
	"gannet/benchmark/load"
	"gannet/benchmark/report"
)

// Figures of the table that are no costs.
const (
	ackedFigure   = "acked, messages/s"
	forwardFigure = "messages a batch to logic"
	batchFigure   = "messages a record"
	pushFigure    = "messages a push"
	acksFigure    = "PUSHACKs a message"

	microsSuffix = ", µs" // of costs, after the role
)

// point is one size of a cluster, and what it gave in each round.
type point struct {
	nodes, conversations int
	runs                 []*measurement
}

// points gives those that the flags ask for, if all can be measured.
func (c *Cluster) points() (points []*point, err error) {
	if len(c.Nodes) == 0 || len(c.Conversations) == 0 || slices.Min(c.Nodes) < 1 {
		return nil, errors.New("benchmark: --scaling needs numbers of nodes, from 1, and of conversations")
	}
	for _, nodes := range c.Nodes {
		for _, conversations := range c.Conversations {
			p := &point{nodes: nodes, conversations: conversations}
			if c.Grow {
				p.conversations *= nodes
			}
			if _, err := load.New(c.at(p).ring(p)); err != nil {
				return nil, err
			}
			points = append(points, p)
		}
	}
	return points, nil
}

// scale measures what a message costs with each number of nodes and of conversations. The
// second round comes the other way round, and so on: what changes with time alone, such as
// how warm the broker is, meets all points alike.
func (c *Cluster) scale(ctx context.Context, points []*point, s *cluster.Services, line *report.Progress, out io.Writer) error {
	r := report.Scaling{Command: report.Command(), Conditions: report.Here(), Batches: []string{forwardFigure, batchFigure, pushFigure}, Settings: c.settings()}
	var faults report.Faults
	err := c.measurePoints(ctx, points, s, line, &faults)
	if err != nil && ctx.Err() == nil {
		return err
	}
	if ctx.Err() != nil {
		r.Notes = append(r.Notes, "Interrupted: this is what there was until then.")
	}
	c.tell(&r, points)
	line.End()
	return r.Finish(out, c.JSON, &faults)
}

// measurePoints measures all points in each round, until a promise is broken.
func (c *Cluster) measurePoints(ctx context.Context, points []*point, s *cluster.Services, line *report.Progress, faults *report.Faults) error {
	for round := range c.Runs {
		inTurn := slices.Clone(points)
		if round%2 == 1 {
			slices.Reverse(inTurn)
		}
		for i, p := range inTurn {
			name := fmt.Sprintf("round %d of %d, %d of %d: %d of each role, %s conversations", round+1, c.Runs, i+1, len(points),
				p.nodes, report.Number(float64(p.conversations)))
			line.Showf("%s …", name)
			runtime.GC()
			syscall.Sync() // what the run before has left behind is none of the next one's business
			m, err := c.measurePoint(ctx, p, s, line)
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			p.runs = append(p.runs, m)
			line.Showf("%s: %s acked messages/s, %.1f µs of CPU a message", name, report.Number(m.perSecond(m.counts.Acked)), m.cost())
			line.End()
			if m.tellFaults(name, faults) > 0 {
				return nil
			}
		}
	}
	return nil
}

// at gives the cluster and the load of a point.
func (c *Cluster) at(p *point) *Cluster {
	of := *c
	of.Gateways, of.Logics, of.Transfers = p.nodes, p.nodes, p.nodes
	if c.Grow {
		of.Users, of.Rate = c.Users*p.nodes, c.Rate*uint64(p.nodes)
	}
	return &of
}

// ring gives the load of a point.
func (c *Cluster) ring(p *point) load.Config {
	return load.Config{Users: c.Users, Conversations: p.conversations, Window: c.Window, Rate: c.Rate, Size: c.Size, Seed: c.Seed}
}

// measurePoint starts a cluster, begins all conversations, measures and ends it.
func (c *Cluster) measurePoint(ctx context.Context, p *point, s *cluster.Services, line *report.Progress) (m *measurement, err error) {
	of := c.at(p)
	l, err := load.New(of.ring(p))
	if err != nil {
		return nil, err
	}
	f, err := of.open(ctx, s, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	defer l.Close()
	t := f.target()
	if err := l.Open(ctx, t.Server, line); err != nil {
		return nil, err
	}
	l.Start(0, 0)
	var sending sync.WaitGroup
	sending.Go(func() { l.Send(ctx) })
	defer sending.Wait()
	defer l.Stop()
	if err := l.AwaitBegun(ctx, line); err != nil {
		return nil, errors.Join(err, f.Ended())
	}
	watch(ctx, l, c.Warmup, line, "warming up")
	before := snapshot(l, t)
	watch(ctx, l, c.Duration, line, "measuring")
	m = snapshot(l, t).since(before)
	l.Stop()
	sending.Wait()
	l.AwaitQuiet(context.WithoutCancel(ctx))
	l.Close()
	l.Verify()
	m.faults = &l.Faults
	return m, f.Ended()
}

// tell puts the figures of all points that were measured into the report.
func (c *Cluster) tell(r *report.Scaling, points []*point) {
	var all []*measurement
	for _, p := range points {
		all = append(all, p.runs...)
	}
	figures := scalingFigures(all)
	for _, f := range figures {
		r.Figures = append(r.Figures, f.name)
		// What clients cost is the benchmark's own affair, and all has it in it.
		if role, cost := strings.CutSuffix(f.name, microsSuffix); cost && role != "client" && role != "all" {
			r.Costs = append(r.Costs, f.name)
		}
	}
	for _, p := range points {
		if len(p.runs) == 0 {
			continue
		}
		at := report.Point{Nodes: p.nodes, Conversations: p.conversations, Figures: map[string]report.Spread{}}
		for _, f := range figures {
			at.Figures[f.name] = f.spread(p.runs)
		}
		r.Points = append(r.Points, at)
	}
}

// scalingFigures gives the columns of the table.
func scalingFigures(of []*measurement) []figure {
	all := []figure{
		{name: ackedFigure, of: func(m *measurement) float64 { return m.perSecond(m.counts.Acked) }},
		{name: forwardFigure, of: func(m *measurement) float64 { return float64(m.counts.Acked) / max(1, m.used[forwardsFigure]) }},
		{name: batchFigure, of: func(m *measurement) float64 { return float64(m.counts.Acked) / max(1, m.used[recordsFigure]) }},
		{name: pushFigure, of: func(m *measurement) float64 { return float64(m.counts.Delivered) / max(1, m.used[pushesFigure]) }},
		{name: acksFigure, of: func(m *measurement) float64 { return float64(m.counts.PushAcks) / float64(max(1, m.counts.Delivered)) }},
	}
	for _, f := range clusterFigures(of) {
		if role, cost := strings.CutPrefix(f.name, cpuOf); cost {
			f.name = role + microsSuffix
			all = append(all, f)
		}
	}
	return all
}
