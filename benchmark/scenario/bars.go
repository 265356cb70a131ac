package scenario

import (
	"slices"

	"gannet/benchmark/report"
	"gannet/benchmark/yardstick"
)

// compared is a load under which gannet and the bare server are compared.
type compared struct {
	name   string
	window int      // kept full, or …
	rate   uint64   // … messages per second of an open loop
	barred []figure // the ones that have the bar
	bar    report.Bar
}

// figure is something that a run of pairs gave.
type figure struct {
	name string
	of   func(m *measurement) float64
	echo func(e yardstick.EchoResult) float64 // the same of an echo; nil: it has none
}

// spread gives what several runs gave.
func (f figure) spread(of []*measurement) report.Spread {
	var values []float64
	for _, m := range of {
		values = append(values, f.of(m))
	}
	return report.SpreadOf(values)
}

// The figures, as tables name them.
var (
	ackedRate = figure{"acked, messages/s",
		func(m *measurement) float64 { return m.perSecond(m.counts.Acked) },
		func(e yardstick.EchoResult) float64 { return e.Frames }}
	deliveredRate = figure{"delivered, messages/s",
		func(m *measurement) float64 { return m.perSecond(m.counts.Delivered) },
		func(e yardstick.EchoResult) float64 { return e.Frames }}
	deliverP50 = figure{"send→deliver p50, ms",
		func(m *measurement) float64 { return m.Deliver.P50 / 1e3 },
		func(e yardstick.EchoResult) float64 { return e.Latency.P50 / 1e3 }}
	deliverP99 = figure{"send→deliver p99, ms",
		func(m *measurement) float64 { return m.Deliver.P99 / 1e3 },
		func(e yardstick.EchoResult) float64 { return e.Latency.P99 / 1e3 }}
	ackP50 = figure{"send→ack p50, ms",
		func(m *measurement) float64 { return m.Ack.P50 / 1e3 },
		func(e yardstick.EchoResult) float64 { return e.Latency.P50 / 1e3 }}
	ackP99 = figure{"send→ack p99, ms",
		func(m *measurement) float64 { return m.Ack.P99 / 1e3 },
		func(e yardstick.EchoResult) float64 { return e.Latency.P99 / 1e3 }}
	serverCPU = figure{"server CPU, µs a message",
		func(m *measurement) float64 { return m.perMessage(m.serverCPU) },
		func(e yardstick.EchoResult) float64 { return e.ServerCPU }}
	longestSilence = figure{"longest time without an ack, ms",
		func(m *measurement) float64 { return float64(m.silence.Longest.Milliseconds()) }, nil}
	generatorLag = figure{"lag of the generator p99, ms",
		func(m *measurement) float64 { return m.Lag.P99 / 1e3 }, nil}
	machinePauses = figure{yardstick.PausesName + " p99, ms",
		func(m *measurement) float64 { return m.paused.P99 / 1e3 }, nil}
)

// comparisons are the loads. Open loops come first: the gigabytes that a full
// window leaves to delete show in the latencies of the next run.
var comparisons = []compared{
	{"1,000/s", 0, 1_000, []figure{deliverP50, ackP50}, report.Bar{Most: 1.5}},
	{"10,000/s", 0, 10_000, []figure{deliverP99, ackP99}, report.Bar{Most: 2, Beyond: 2, Unit: "ms"}},
	{"25,000/s", 0, 25_000, []figure{deliverP99, ackP99}, report.Bar{Most: 2, Beyond: 2, Unit: "ms"}},
	{"window 1", 1, 0, []figure{ackedRate, deliveredRate}, report.Bar{Least: 0.75}},
	{"window 32", 32, 0, []figure{ackedRate, deliveredRate}, report.Bar{Least: 0.75}},
}

// others gives the figures of a load that have no bar.
func (c compared) others(pauses bool) []figure {
	all := []figure{serverCPU, deliverP50, deliverP99, ackP50, ackP99, longestSilence}
	if c.rate > 0 {
		all = append([]figure{deliveredRate}, append(all, generatorLag)...)
	}
	if pauses {
		all = append(all, machinePauses)
	}
	return slices.DeleteFunc(all, func(f figure) bool {
		return slices.ContainsFunc(c.barred, func(barred figure) bool { return f.name == barred.name })
	})
}
