package endtoend

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// benchReport is what the tests look at of a report.
type benchReport struct {
	Figures []struct {
		Name  string
		Value float64
	}
	Latencies []struct{ Count uint64 }
}

// report runs a scenario to its end and reads its report.
func report(t *testing.T, args ...string) benchReport {
	t.Helper()
	out, stderr, err := run(t, append(append([]string{"bench"}, args...), "--json")...)
	if err != nil {
		t.Fatalf("gannet bench %v: %v\n%s%s", args, err, out, stderr)
	}
	var r benchReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("not a report: %v\n%s", err, out)
	}
	return r
}

func figure(t *testing.T, r benchReport, name string) float64 {
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

// Whoever presses Ctrl-C twice leaves no server behind.
func TestAnImpatientInterruptLeavesNoServer(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	c := prepare(t.Context(), t, "bench", "pairs", "--users", "2", "--duration", "1m", "--data", data)
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stderr.Read(make([]byte, 1)); err != nil { // the users are logged in
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Millisecond) // less than stopping in order takes
	}
	go func() { _, _ = io.Copy(io.Discard, stderr) }()
	if err := c.Wait(); err == nil {
		t.Log("it was quicker than the second interrupt")
	}
	serve(t, data, "127.0.0.1:0") // refused while another server has the data
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
