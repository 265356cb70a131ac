package benchmark

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Limit measures what the machine gives without gannet: how long it stops at
// times, a bare netpoll echo, and bare Pebble commits with Sync. Its fields are
// flags.
type Limit struct {
	Connections int           `help:"Connections of the echo." default:"1000"`
	Depths      []int         `help:"Frames on their way on each connection." default:"1,16,64"`
	Size        int           `help:"Bytes of an echo frame." default:"128"`
	Batches     []int         `help:"Records in each Pebble batch." default:"1,32,128,512"`
	RecordSize  int           `help:"Bytes of a Pebble record." default:"200"`
	Data        string        `help:"Folder on the disk to measure; that of temporary files without it." placeholder:"DIR"`
	Duration    time.Duration `help:"Length of each measurement." default:"3s"`
	Warmup      time.Duration `help:"Time before each echo measurement that does not count." default:"500ms"`
	JSON        bool          `name:"json" help:"Write the report as JSON."`

	Program `kong:"-"`
}

// Run measures one thing after the other and writes the report to out.
func (l *Limit) Run(ctx context.Context, out, progress io.Writer) error {
	if l.Connections < 1 {
		return fmt.Errorf("benchmark: %d connections", l.Connections)
	}
	executable, err := l.executable()
	if err != nil {
		return err
	}
	dir := l.Data
	if dir == "" {
		dir = os.TempDir()
	}
	report := newReport("limit", setting("connections", l.Connections), setting("frame", l.Size),
		setting("record", l.RecordSize), setting("file system", fileSystem(dir)), setting("duration", l.Duration))
	line := newProgress(progress)
	defer line.end()
	line.showf("%s", pausesName)
	if paused, err := l.pauses(ctx); err == nil {
		report.Latencies = append(report.Latencies, Distribution{pausesName, paused})
	} else if ctx.Err() != nil {
		return err
	} else {
		report.Notes = append(report.Notes, fmt.Sprintf("The %s are not known: %v", pausesName, err))
	}
	for _, depth := range l.Depths {
		name := fmt.Sprintf("echo at depth %d", depth)
		line.showf("%s", name)
		r, err := echoRun{
			executable: executable, command: l.EchoCommand, connections: l.Connections,
			depth: depth, size: l.Size, warmup: l.Warmup, duration: l.Duration,
		}.run(ctx)
		if err != nil {
			return err
		}
		report.figure(name, r.frames, "frames/s")
		report.figure(name+": reads", r.reads, "reads/s")
		report.figure(name+": server CPU", r.serverCPU, "µs/frame")
		report.figure(name+": client CPU", r.clientCPU, "µs/frame")
		report.Latencies = append(report.Latencies, Distribution{name, r.latency})
	}
	for _, records := range l.Batches {
		name := fmt.Sprintf("Pebble Sync, %d a batch", records)
		line.showf("%s", name)
		r, err := commitRun{dir: dir, records: records, size: l.RecordSize, duration: l.Duration}.run(ctx)
		if err != nil {
			return err
		}
		report.figure(name, r.records, "records/s")
		report.figure(name+": commits", r.commits, "commits/s")
		report.Latencies = append(report.Latencies, Distribution{name, r.latency})
	}
	line.end()
	return report.finish(out, l.JSON, new(faults))
}

// pauses watches the machine while nothing runs.
func (l *Limit) pauses(ctx context.Context) (Latency, error) {
	if err := mayComeFirst(); err != nil {
		return Latency{}, err
	}
	w, err := startPauses(ctx, &l.Program)
	if err != nil {
		return Latency{}, err
	}
	rested := rest(ctx, l.Duration)
	found, err := w.stop()
	return found, errors.Join(rested, err)
}
