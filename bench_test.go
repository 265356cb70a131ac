package main

import (
	"encoding/json"
	"testing"

	"gannet/benchmark"
)

// report runs a scenario to its end and reads its report.
func report(t *testing.T, args ...string) benchmark.Report {
	t.Helper()
	out, stderr, err := run(t, append(append([]string{"bench"}, args...), "--json")...)
	if err != nil {
		t.Fatalf("gannet bench %v: %v\n%s%s", args, err, out, stderr)
	}
	var r benchmark.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("not a report: %v\n%s", err, out)
	}
	return r
}

func figure(t *testing.T, r benchmark.Report, name string) float64 {
	t.Helper()
	for _, f := range r.Figures {
		if f.Name == name {
			return f.Value
		}
	}
	t.Fatalf("no figure %q in %+v", name, r.Figures)
	return 0
}

// The server is killed three times under load; --rounds 20 is the command for
// people.
func TestNothingAckedIsLostInACrash(t *testing.T) {
	r := report(t, "crash", "--rounds", "3", "--users", "40")
	if n := figure(t, r, "acked"); n < 100 {
		t.Errorf("only %v messages were acked", n)
	}
}

func TestBenchPairs(t *testing.T) {
	for _, args := range [][]string{
		{"pairs", "--users", "20", "--window", "4", "--warmup", "100ms", "--duration", "500ms"},
		{"pairs", "--users", "20", "--window", "4", "--warmup", "100ms", "--duration", "500ms", "--bare"},
		{"pairs", "--users", "20", "--window", "4", "--warmup", "100ms", "--duration", "500ms", "--sdk"},
		{"pairs", "--users", "20", "--rate", "500", "--warmup", "100ms", "--duration", "500ms", "--size", "4000"},
	} {
		r := report(t, args...)
		if n := figure(t, r, "acked"); n <= 0 {
			t.Errorf("%v: %v messages/s", args, n)
		}
		if len(r.Latencies) < 2 || r.Latencies[1].Count == 0 {
			t.Errorf("%v: no latencies: %+v", args, r.Latencies)
		}
	}
}

func TestBenchIdle(t *testing.T) {
	r := report(t, "idle", "--connections", "200", "--hold", "3s", "--heartbeat", "1s")
	if len(r.Figures) == 0 {
		t.Error("no figures")
	}
}

func TestBenchLimit(t *testing.T) {
	r := report(t, "limit", "--connections", "50", "--depths", "1,16", "--batches", "1,32", "--duration", "200ms", "--warmup", "50ms")
	if len(r.Figures) < 4 {
		t.Errorf("%d figures: %+v", len(r.Figures), r.Figures)
	}
}
