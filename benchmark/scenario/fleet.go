package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"

	"gannet/benchmark/cluster"
	"gannet/benchmark/load"
	"gannet/benchmark/yardstick"
)

// fleet is a cluster or a pipeline that runs to be measured once.
type fleet struct {
	*cluster.Cluster
	dir   string
	bare  bool
	token func(user uint64) (string, error)
}

// open starts a cluster, or a pipeline, under a name of its own.
func (c *Cluster) open(ctx context.Context, s *cluster.Services, bare bool) (*fleet, error) {
	var args []string
	if bare {
		args = c.PipelineCommand
	}
	program, err := c.command(args)
	if err != nil {
		return nil, err
	}
	f := &fleet{bare: bare, token: yardstick.BareToken}
	if f.dir, err = os.MkdirTemp("", "gannet-bench-"); err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	if bare {
		f.Cluster, err = cluster.StartPipeline(ctx, cluster.PipelineOptions{
			Program: program, Services: s, Dir: f.dir, Gateways: c.Gateways, Queues: c.Queues, RecordKB: c.RecordKB,
		})
	} else {
		f.Cluster, err = cluster.Start(ctx, cluster.Options{
			Program: program, Services: s, Dir: f.dir, Queues: c.Queues, Flags: c.RaisedLimits,
			Gateways: c.Gateways, Logics: c.Logics, Transfers: c.Transfers,
		})
	}
	if err == nil && !bare {
		if f.token, err = c.Signer(f.Keys()); err != nil {
			err = fmt.Errorf("benchmark: keys: %w", err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// target gives it as what is measured.
func (f *fleet) target() *target {
	return &target{Server: load.Server{Address: f.Address(), Token: f.token}, usages: f.usages}
}

// close ends all of it and removes the folder.
func (f *fleet) close() error {
	var err error
	if f.Cluster != nil {
		err = f.Close()
	}
	return errors.Join(err, os.RemoveAll(f.dir))
}
