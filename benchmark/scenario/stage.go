package scenario

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"gannet/benchmark/cluster"
	"gannet/benchmark/load"
	"gannet/benchmark/meter"
	"gannet/benchmark/report"
	gannet "gannet/sdk/go"
)

const (
	// calm is how long a load runs before its fault, and after it once all are served.
	calm = 2 * time.Second

	// servedPatience is after how long without service a round is given up.
	servedPatience = 2 * time.Minute

	// Bars: after the death of one of two, where a closed connection tells of it, and after
	// the last part that was away is back.
	deathBar = 5 * time.Second
	toldBar  = time.Second
	backBar  = 10 * time.Second

	// Clients come back faster than they would to a real cluster, so that what is measured
	// is the cluster.
	faultBackoffMin = 20 * time.Millisecond
	faultBackoffMax = 500 * time.Millisecond
)

// stage is the cluster on which faults are played, and the round that is.
type stage struct {
	*ClusterFaults
	dir      string
	line     *report.Progress
	services *cluster.Services
	cluster  *cluster.Cluster // nil: there is none, or it is not to be trusted
	clusters int              // that have been made

	load    *load.Load
	proxies []*cluster.Proxy // of a partition
	row     *report.ClusterRow
}

// fault is something that happens to a cluster.
type fault struct {
	name string
	does string

	// play does it and brings back what it took away; with each step it says by when users
	// must be served. An error ends the round, and the cluster with it.
	play func(ctx context.Context, p *stage) error

	// prepare comes before anybody logs in, and gives what makes it undone afterwards; nil:
	// there is nothing to prepare.
	prepare func(ctx context.Context, p *stage) (undo func(ctx context.Context) error, err error)

	alone bool // it brings its own load
}

// play plays one fault.
func (p *stage) play(ctx context.Context, f fault) (row report.ClusterRow) {
	row.Fault = f.name
	p.row = &row
	p.line.End()
	p.line.Showf("%s: %s", f.name, f.does)
	err := p.open(ctx)
	undo := func(context.Context) error { return nil }
	if err == nil && f.prepare != nil {
		undo, err = f.prepare(ctx, p)
	}
	if err == nil {
		if f.alone {
			err = f.play(ctx, p)
		} else {
			err = p.underLoad(ctx, f)
		}
	}
	if p.cluster != nil {
		err = errors.Join(err, p.cluster.Ended())
	}
	if err == nil {
		err = undo(ctx)
	}
	if err != nil {
		row.Missed = append(row.Missed, err.Error())
		p.abandon(ctx)
	}
	return row
}

// open has a cluster on the stage.
func (p *stage) open(ctx context.Context) error {
	if p.cluster != nil {
		return nil
	}
	command, err := p.command(nil)
	if err != nil {
		return err
	}
	p.clusters++
	p.cluster, err = cluster.Start(ctx, cluster.Options{
		Program: command, Services: p.services, Dir: filepath.Join(p.dir, fmt.Sprintf("cluster%d", p.clusters)),
		Gateways: p.Each, Logics: p.Each, Transfers: p.Each, Queues: p.Queues, Flags: p.RaisedLimits,
	})
	return err
}

// abandon makes an end of a cluster that did not come through, so that the next round has a
// whole one.
func (p *stage) abandon(ctx context.Context) {
	if p.cluster != nil {
		_ = p.cluster.Close() // how its nodes end after that says nothing new
		p.cluster = nil
	}
	if err := p.services.Mend(ctx); err != nil {
		p.row.Missed = append(p.row.Missed, err.Error())
	}
}

// close ends the cluster and the servers.
func (p *stage) close() error {
	var errs error
	if p.cluster != nil {
		errs = p.cluster.Close()
	}
	if p.services != nil {
		errs = errors.Join(errs, p.services.Close())
	}
	return errs
}

// underLoad plays a fault while users write to each other, and checks what they got.
func (p *stage) underLoad(ctx context.Context, f fault) (err error) {
	token, err := p.Signer(p.cluster.Keys())
	if err != nil {
		return fmt.Errorf("benchmark: keys: %w", err)
	}
	l, err := load.New(load.Config{
		Users: p.Users, Window: 1, Size: p.Size, Seed: p.Seed, SDK: true, Seqs: true, Pace: p.Pace, Listeners: true,
	})
	if err != nil {
		return err
	}
	p.load = l
	defer l.Close()
	err = l.Open(ctx, load.Server{Address: p.cluster.Address(), Token: token}, p.line, gannet.WithBackoff(faultBackoffMin, faultBackoffMax))
	if err != nil {
		return err
	}
	l.Start(0, 0)
	l.Send(ctx)
	markers := l.StartMarkers(ctx)
	defer markers.End()
	if err = p.served(ctx, "the start", 0); err == nil {
		err = meter.Rest(ctx, calm)
	}
	if err == nil {
		err = f.play(ctx, p)
	}
	if err == nil {
		err = meter.Rest(ctx, calm)
	}
	l.Stop()
	if err != nil { // what was checked on the way is told all the same
		markers.End()
		l.Close()
		p.count()
		return err
	}
	p.line.Showf("checking every message")
	l.AwaitQuiet(ctx)
	l.CheckHistories(ctx)
	err = errors.Join(markers.Check(ctx), l.CheckCursors(ctx))
	markers.End()
	l.Close()
	l.Verify()
	p.row.Longest = l.Latencies().Ack.Max / 1e6
	p.count()
	return err
}

// count takes over what the load found.
func (p *stage) count() {
	p.row.Acked = p.load.Counts().Acked
	p.row.Lost, p.row.Repeats = p.load.Losses()
	p.row.FaultCount, p.row.Faults = p.load.Faults.List()
}

// served waits until every user is served after this moment. A bar of 0 is none.
func (p *stage) served(ctx context.Context, after string, bar time.Duration) error {
	return p.servedFrom(ctx, p.load.Moment(), after, bar)
}

// servedFrom is served for an earlier moment.
func (p *stage) servedFrom(ctx context.Context, m *load.Moment, after string, bar time.Duration) error {
	took, err := m.Await(ctx, servedPatience)
	if err != nil {
		return fmt.Errorf("after %s: %w", after, err)
	}
	p.took(after, took, bar)
	return nil
}

// took takes note of when all were served.
func (p *stage) took(after string, took, bar time.Duration) {
	p.row.Took(report.ClusterTime{After: after, Seconds: took.Seconds(), Bar: bar.Seconds()})
	p.line.Showf("all users are served %.2f s after %s", took.Seconds(), after)
}

// hold is how long something is away that is stopped or killed for a while: 30 s, or 12.
func (p *stage) hold() time.Duration {
	if p.Short {
		return 12 * time.Second
	}
	return 30 * time.Second
}
