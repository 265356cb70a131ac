package benchmark

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

func TestLimitMeasuresEchoAndCommits(t *testing.T) {
	l := Limit{
		Connections: 10, Depths: []int{1, 16}, Size: 128, Batches: []int{1, 32}, RecordSize: 200,
		Data: t.TempDir(), Duration: 50 * time.Millisecond, JSON: true,
		Program: Program{EchoCommand: []string{echoArgument}, PausesCommand: []string{pausesArgument}},
	}
	var out, progress bytes.Buffer
	if err := l.Run(context.Background(), &out, &progress); err != nil {
		t.Fatal(err)
	}
	var report Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"echo at depth 1", "echo at depth 16", "Pebble Sync, 1 a batch", "Pebble Sync, 32 a batch"} {
		if v, ok := report.Figure(name); !ok || v <= 0 {
			t.Errorf("%s: %v, %v", name, v, ok)
		}
		if !strings.Contains(progress.String(), name) {
			t.Errorf("%q does not show in the progress %q", name, progress.String())
		}
	}
	latencies := report.Latencies
	if may := len(latencies) > 0 && latencies[0].Name == pausesName; may {
		latencies = latencies[1:]
	} else if len(report.Notes) != 1 || !strings.Contains(report.Notes[0], pausesName) {
		t.Errorf("nothing is said of pauses: %+v", report)
	}
	if len(latencies) != 4 {
		t.Fatalf("latencies of echoes and commits: %+v", latencies)
	}
	for _, l := range latencies {
		if l.Count == 0 || l.P50 <= 0 {
			t.Errorf("latency of %s: %+v", l.Name, l.Latency)
		}
	}
}

func TestLimitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	l := Limit{Connections: 1, Depths: []int{1}, Size: 128, Duration: time.Hour, Program: Program{EchoCommand: []string{echoArgument}}}
	if err := l.Run(ctx, io.Discard, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled run ended with %v", err)
	}
}
