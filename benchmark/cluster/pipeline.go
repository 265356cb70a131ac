package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"gannet/benchmark/process"
)

// PipelineOptions say what a bare pipeline is made of.
type PipelineOptions struct {
	Program  process.Command // that is a pipeline.Process with its flags
	Services *Services
	Dir      string // for logs
	Gateways int
	Queues   int
	RecordKB int // of a record at most
}

// StartPipeline makes a bare pipeline, with one logic and one transfer, and returns when
// all of it is ready. It cannot be started again node by node, for each one is told where
// the one before it listens.
func StartPipeline(ctx context.Context, o PipelineOptions) (*Cluster, error) {
	c := &Cluster{Services: o.Services, dir: o.Dir}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	command := o.Program.With("--queues", strconv.Itoa(o.Queues), "--record-kb", strconv.Itoa(o.RecordKB), "--topic", newName(),
		"--redis", o.Services.Address(Redis), "--rocketmq", o.Services.Address(NameServer), "--broker", o.Services.Address(Broker))
	var peers []string // where those listen whom the next one calls
	for _, of := range []struct {
		role string
		n    int
	}{{Logic, 1}, {Gateway, o.Gateways}, {Transfer, 1}} {
		args := []string{"--role", of.role}
		if len(peers) > 0 {
			args = append(args, "--peers", strings.Join(peers, ","))
		}
		peers = nil
		for range of.n {
			n, err := c.add(of.role, command.With(args...))
			if err == nil {
				err = n.Start(ctx)
			}
			if err != nil {
				return nil, errors.Join(err, c.Close())
			}
			if of.role == Gateway {
				n.Address = n.process.Listen
			}
			peers = append(peers, n.Debug())
		}
	}
	return c, nil
}
