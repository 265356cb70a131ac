package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"gannet/benchmark/meter"
	"gannet/benchmark/report"
	"gannet/benchmark/yardstick"
)

// Limit measures what the machine gives without gannet: how long it stops at
// times, a bare netpoll echo, bare Pebble commits with Sync, and the parts of a
// cluster. Its fields are flags.
type Limit struct {
	Connections int           `help:"Connections of the echo." default:"1000"`
	Depths      []int         `help:"Frames on their way on each connection." default:"1,16,64"`
	Size        int           `help:"Bytes of an echo frame." default:"128"`
	Batches     []int         `help:"Records in each Pebble batch." default:"1,32,128,512"`
	RecordSize  int           `help:"Bytes of a Pebble record." default:"200"`
	Data        string        `help:"Folder on the disk to measure; that of temporary files without it." placeholder:"DIR"`
	Duration    time.Duration `help:"Length of each measurement." default:"3s"`
	Warmup      time.Duration `help:"Time before each echo measurement that does not count." default:"500ms"`
	Services    string        `env:"GANNET_TEST_SERVICES" placeholder:"DIR" help:"Folder of the servers that scripts/services started: also measure the broker's records and Redis' scripts."`
	Queues      int           `help:"Queues of the broker, and callers of Redis and of RPC." default:"4"`
	JSON        bool          `name:"json" help:"Write the report as JSON."`

	Program `kong:"-"`
}

// Run measures one thing after the other and writes the report to out.
func (l *Limit) Run(ctx context.Context, out, progress io.Writer) error {
	if l.Connections < 1 || l.Queues < 1 {
		return fmt.Errorf("benchmark: %d connections, %d queues", l.Connections, l.Queues)
	}
	echo, err := l.command(l.EchoCommand)
	if err != nil {
		return err
	}
	dir := l.Data
	if dir == "" {
		dir = os.TempDir()
	}
	r := report.New("limit", report.Set("connections", l.Connections), report.Set("frame", l.Size),
		report.Set("record", l.RecordSize), report.Set("file system", report.FileSystem(dir)), report.Set("duration", l.Duration))
	line := report.NewProgress(progress)
	defer line.End()
	line.Showf("%s", yardstick.PausesName)
	if paused, err := l.pauses(ctx); err == nil {
		r.Latencies = append(r.Latencies, report.Distribution{Name: yardstick.PausesName, Latency: paused})
	} else if ctx.Err() != nil {
		return err
	} else {
		r.Notes = append(r.Notes, fmt.Sprintf("The %s are not known: %v", yardstick.PausesName, err))
	}
	for _, depth := range l.Depths {
		name := fmt.Sprintf("echo at depth %d", depth)
		line.Showf("%s", name)
		e, err := yardstick.EchoRun{
			Server: echo, Connections: l.Connections,
			Depth: depth, Size: l.Size, Warmup: l.Warmup, Duration: l.Duration,
		}.Run(ctx)
		if err != nil {
			return err
		}
		r.Add(name, e.Frames, "frames/s")
		r.Add(name+": reads", e.Reads, "reads/s")
		r.Add(name+": server CPU", e.ServerCPU, "µs/frame")
		r.Add(name+": client CPU", e.ClientCPU, "µs/frame")
		r.Latencies = append(r.Latencies, report.Distribution{Name: name, Latency: e.Latency})
	}
	for _, records := range l.Batches {
		name := fmt.Sprintf("Pebble Sync, %d a batch", records)
		line.Showf("%s", name)
		c, err := yardstick.CommitRun{Dir: dir, Records: records, Size: l.RecordSize, Duration: l.Duration}.Run(ctx)
		if err != nil {
			return err
		}
		r.Add(name, c.Records, "records/s")
		r.Add(name+": commits", c.Commits, "commits/s")
		r.Latencies = append(r.Latencies, report.Distribution{Name: name, Latency: c.Latency})
	}
	if err := l.cluster(ctx, r, line); err != nil {
		return err
	}
	line.End()
	return r.Finish(out, l.JSON, new(report.Faults))
}

// pauses watches the machine while nothing runs.
func (l *Limit) pauses(ctx context.Context) (meter.Latency, error) {
	if err := yardstick.MayWatchPauses(); err != nil {
		return meter.Latency{}, err
	}
	command, err := l.command(l.PausesCommand)
	if err != nil {
		return meter.Latency{}, err
	}
	w, err := yardstick.WatchPauses(ctx, command)
	if err != nil {
		return meter.Latency{}, err
	}
	rested := meter.Rest(ctx, l.Duration)
	found, err := w.Stop()
	return found, errors.Join(rested, err)
}
