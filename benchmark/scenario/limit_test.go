package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"gannet/benchmark/report"
	"gannet/benchmark/yardstick"
)

func TestLimitMeasuresEchoAndCommits(t *testing.T) {
	l := Limit{
		Queues:      2,
		Connections: 10, Depths: []int{1, 16}, Size: 128, Batches: []int{1, 32}, RecordSize: 200,
		Data: t.TempDir(), Duration: 200 * time.Millisecond, JSON: true,
		Program: program(),
	}
	var out, progress bytes.Buffer
	if err := l.Run(t.Context(), &out, &progress); err != nil {
		t.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"echo at depth 1", "echo at depth 16", "Pebble Sync, 1 a batch", "Pebble Sync, 32 a batch", "RPC, 1 a call", "RPC, 384 a call"} {
		if v, ok := r.Figure(name); !ok || v <= 0 {
			t.Errorf("%s: %v, %v", name, v, ok)
		}
		if !strings.Contains(progress.String(), name) {
			t.Errorf("%q does not show in the progress %q", name, progress.String())
		}
	}
	latencies := r.Latencies
	if may := len(latencies) > 0 && latencies[0].Name == yardstick.PausesName; may {
		latencies = latencies[1:]
	} else if len(r.Notes) != 2 || !strings.Contains(r.Notes[0], yardstick.PausesName) {
		t.Errorf("nothing is said of pauses: %+v", r)
	}
	if len(latencies) != 7 {
		t.Fatalf("latencies of echoes, commits and calls: %+v", latencies)
	}
	for _, l := range latencies {
		if l.Count == 0 || l.P50 <= 0 {
			t.Errorf("latency of %s: %+v", l.Name, l.Latency)
		}
	}
}

func TestLimitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l := Limit{Connections: 1, Queues: 1, Depths: []int{1}, Size: 128, Duration: time.Hour, Program: program()}
	if err := l.Run(ctx, io.Discard, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled run ended with %v", err)
	}
}
