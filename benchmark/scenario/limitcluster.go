package scenario

import (
	"context"
	"fmt"

	"gannet/benchmark/cluster"
	"gannet/benchmark/report"
	"gannet/benchmark/yardstick/pipeline"
)

// clusterMessages are how many messages a record, a script and a call have.
var clusterMessages = []int{1, 32, 384}

// cluster measures what a cluster is made of: the broker's records, Redis' scripts and
// the calls of processes.
func (l *Limit) cluster(ctx context.Context, r *report.Report, line *report.Progress) error {
	run := pipeline.LimitRun{Queues: l.Queues, Size: l.RecordSize, Duration: l.Duration}
	if l.Services != "" {
		s, err := cluster.ReadServices(l.Services)
		if err != nil {
			return err
		}
		run.Redis, run.Rocketmq, run.Broker = s.Address(cluster.Redis), s.Address(cluster.NameServer), s.Address(cluster.Broker)
	}
	for _, of := range []struct {
		name, unit string
		needs      bool // servers
		frames     bool // what counts are messages and not calls
		measure    func(pipeline.LimitRun, context.Context) (pipeline.LimitResult, error)
	}{
		{"broker, %d a record", "records/s", true, false, pipeline.LimitRun.Records},
		{"view script, %d a script", "scripts/s", true, false, pipeline.LimitRun.Scripts},
		{"RPC, %d a call", "frames/s", false, true, pipeline.LimitRun.Passes},
	} {
		if of.needs && l.Services == "" {
			continue
		}
		for _, run.Messages = range clusterMessages {
			name := fmt.Sprintf(of.name, run.Messages)
			line.Showf("%s", name)
			got, err := of.measure(run, ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			value := got.Calls
			if of.frames {
				value *= float64(run.Messages)
			}
			r.Add(name, value, of.unit)
			r.Latencies = append(r.Latencies, report.Distribution{Name: name, Latency: got.Latency})
		}
	}
	if l.Services == "" {
		r.Notes = append(r.Notes, "Without --services the broker's records and Redis' scripts are left out.")
	}
	return nil
}
