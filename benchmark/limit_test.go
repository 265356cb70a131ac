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

func TestEchoInFlightIsBounded(t *testing.T) {
	err := func() error {
		_, err := echoRun{depth: 129, size: 128}.run(context.Background())
		return err
	}()
	if err == nil || !strings.Contains(err.Error(), "on their way") {
		t.Errorf("more than a socket buffer on its way: %v", err)
	}
	for _, tc := range []struct{ want, size, depth int }{
		{1, 128, 1}, {64, 128, 64}, {1000, 128, 128}, {32, 64 << 10, 1},
	} {
		if got := echoDepth(tc.want, tc.size); got != tc.depth {
			t.Errorf("%d frames of %d bytes: depth %d, want %d", tc.want, tc.size, got, tc.depth)
		}
	}
}

func TestAChildThatFailsIsExplained(t *testing.T) {
	_, err := startProcess(context.Background(), "/bin/sh", []string{"-c", "echo no such luck >&2; exit 3"}, t.TempDir()+"/ready")
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "no such luck") {
		t.Errorf("a child that ends at once: %v", err)
	}
}

func TestAKilledChildDidNotEndWell(t *testing.T) {
	ready := t.TempDir() + "/ready"
	script := fmt.Sprintf(`echo '{"listen":"127.0.0.1:1","pid":7,"debug":"127.0.0.1:2"}' > %[1]s.new; mv %[1]s.new %[1]s; exec sleep 60`, ready)
	p, err := startProcess(context.Background(), "/bin/sh", []string{"-c", script}, ready)
	if err != nil {
		t.Fatal(err)
	}
	if p.Listen != "127.0.0.1:1" || p.PID != 7 || p.Debug != "127.0.0.1:2" {
		t.Errorf("the ready file was read as %+v", p.ready)
	}
	p.kill()
	if err := p.stop(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("stopping a killed child gave %v", err)
	}
}

func TestTheTailOfStderrIsKept(t *testing.T) {
	var tl tail
	for i := range 10_000 {
		fmt.Fprintf(&tl, "line %d\n", i)
	}
	got := tl.String()
	if len(got) > stderrTail || !strings.HasSuffix(got, "line 9999") {
		t.Errorf("%d bytes kept, ending in %q", len(got), got[max(0, len(got)-20):])
	}
}
