package command

import (
	"context"
	"io"
	"os"
	"time"

	"gannet/benchmark/attack"
	"gannet/benchmark/scenario"
	"gannet/benchmark/soak"
	"gannet/benchmark/yardstick"
	"gannet/benchmark/yardstick/pipeline"
	"gannet/internal/token"
)

// benchCmd measures. Each scenario starts a server of its own unless it is given
// an address.
type benchCmd struct {
	Pairs   benchPairs   `cmd:"" help:"Users chat in pairs: throughput, latency, cost, and every message checked."`
	Idle    benchIdle    `cmd:"" help:"Connections that say nothing: memory of each."`
	Crash   benchCrash   `cmd:"" help:"Kill the server again and again under load and check that nothing acked is lost."`
	Storm   benchStorm   `cmd:"" help:"Kill the server under load and let all clients come back at once."`
	Hostile benchHostile `cmd:"" help:"Attack a server in every way that is known, and see what its other users feel."`
	Soak    benchSoak    `cmd:"" help:"Kill apps and server again and again, and check that every message arrives, once."`
	Cluster benchCluster `cmd:"" help:"A whole cluster on this machine, in turn with a bare pipeline of the same libraries."`

	ClusterFaults benchClusterFaults `cmd:"" name:"cluster-faults" help:"Kill and stop the parts of a cluster under load, and check every message."`

	Limit benchLimit `cmd:"" help:"What this machine gives without gannet: its pauses, a bare echo and bare commits."`
	Echo  benchEcho  `cmd:"" hidden:"" help:"The server half of the bare echo."`
	Bare  benchBare  `cmd:"" hidden:"" help:"The bare server of gannet bench pairs --bare."`

	Pipeline benchPipeline `cmd:"" hidden:"" help:"A process of the bare pipeline of gannet bench cluster."`

	Attacker benchAttacker `cmd:"" hidden:"" help:"The clients of gannet bench hostile that attack."`
	App      benchApp      `cmd:"" hidden:"" help:"An app of gannet bench soak."`
	Pauses   benchPauses   `cmd:"" hidden:"" help:"What gannet bench pairs --pauses runs beside."`
}

type (
	benchPairs struct {
		scenario.Pairs `embed:""`
	}
	benchCluster struct {
		scenario.Cluster `embed:""`
	}
	benchIdle struct {
		scenario.Idle `embed:""`
	}
	benchCrash struct {
		scenario.Crash `embed:""`
	}
	benchHostile struct {
		scenario.Hostile `embed:""`
	}
	benchStorm struct {
		scenario.Storm `embed:""`
	}
	benchSoak struct {
		scenario.Soak `embed:""`
	}
	benchClusterFaults struct {
		scenario.ClusterFaults `embed:""`
	}
	benchApp struct {
		soak.App `embed:""`
	}
	benchAttacker struct {
		attack.Player `embed:""`
	}
	benchLimit struct {
		scenario.Limit `embed:""`
	}
	benchEcho struct {
		yardstick.EchoServer `embed:""`
	}
	benchBare struct {
		yardstick.BareServer `embed:""`
	}
	benchPipeline struct {
		pipeline.Process `embed:""`
	}
	benchPauses struct {
		yardstick.PauseWatch `embed:""`
	}
)

func (c *benchPairs) Run(ctx context.Context) error {
	c.Program = benchProgram()
	return bench(ctx, c.Pairs.Run)
}

func (c *benchCluster) Run(ctx context.Context) error {
	c.Program = benchProgram()
	return bench(ctx, c.Cluster.Run)
}

func (c *benchIdle) Run(ctx context.Context) error {
	c.Program = benchProgram()
	return bench(ctx, c.Idle.Run)
}

func (c *benchCrash) Run(ctx context.Context) error {
	c.Program = benchProgram()
	return bench(ctx, c.Crash.Run)
}

func (c *benchHostile) Run(ctx context.Context) error {
	c.Program = benchProgram()
	return bench(ctx, c.Hostile.Run)
}

func (c *benchStorm) Run(ctx context.Context) error {
	c.Program = benchProgram()
	return bench(ctx, c.Storm.Run)
}

func (c *benchSoak) Run(ctx context.Context) error {
	c.Program = benchProgram()
	return bench(ctx, c.Soak.Run)
}

func (c *benchClusterFaults) Run(ctx context.Context) error {
	c.Program = benchProgram()
	return bench(ctx, c.ClusterFaults.Run)
}

func (c *benchApp) Run(ctx context.Context) error {
	c.Signer = signer
	return bench(ctx, c.App.Run)
}

func (c *benchAttacker) Run(ctx context.Context) error {
	c.Signer = signer
	return bench(ctx, c.Player.Run)
}

func (c *benchLimit) Run(ctx context.Context) error {
	c.Program = benchProgram()
	return bench(ctx, c.Limit.Run)
}

func (c *benchEcho) Run(ctx context.Context) error { return bench(ctx, c.EchoServer.Run) }

func (c *benchPipeline) Run(ctx context.Context) error { return bench(ctx, c.Process.Run) }

func (c *benchPauses) Run(ctx context.Context) error { return bench(ctx, c.PauseWatch.Run) }

func (c *benchBare) Run(ctx context.Context) error { return bench(ctx, c.BareServer.Run) }

// bench runs a scenario with its report on stdout and its progress on stderr.
func bench(ctx context.Context, run func(ctx context.Context, out, progress io.Writer) error) error {
	return run(ctx, os.Stdout, os.Stderr)
}

// benchProgram tells the benchmark, which knows only the protocol and the SDK, how to
// start a server and how to sign tokens.
func benchProgram() scenario.Program {
	return scenario.Program{
		EchoCommand: []string{"bench", "echo"}, BareCommand: []string{"bench", "bare"},
		PausesCommand: []string{"bench", "pauses"}, AttackCommand: []string{"bench", "attacker"},
		AppCommand: []string{"bench", "app"}, PipelineCommand: []string{"bench", "pipeline"},
		Signer: signer, RaisedLimits: RaisedLimits(),
	}
}

// signer signs tokens with the keys in a folder.
func signer(dir string) (func(user uint64) (string, error), error) {
	keys, err := token.LoadKeys(dir)
	if err != nil {
		return nil, err
	}
	return func(user uint64) (string, error) { return keys.Sign(user, defaultTTL, time.Now()) }, nil
}
