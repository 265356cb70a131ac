package scenario

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gannet/benchmark/report"
)

func TestPairsAreMeasured(t *testing.T) {
	for _, tc := range []struct {
		name string
		p    Pairs
		says []string
	}{
		{"full windows", Pairs{Window: 4}, []string{"send to ack", "send to deliver"}},
		{"a timetable", Pairs{Rate: 500}, []string{"send to ack", "send to deliver", "lag of the generator"}},
		{"with an echo beside", Pairs{WithLimit: true}, []string{"send to ack", "send to deliver", "echo"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := tc.p
			p.Users, p.Size, p.Warmup, p.Duration = 10, 128, 10*time.Millisecond, 500*time.Millisecond
			p.Bare, p.Memtable, p.JSON, p.Program = true, 64, true, program()
			p.Data = t.TempDir()
			var out bytes.Buffer
			if err := p.Run(t.Context(), &out, io.Discard); err != nil {
				t.Fatal(err)
			}
			if settings := pebbleSettings(t, p.Data); !strings.Contains(settings, "mem_table_size=67108864\n") {
				t.Errorf("the bare server does not have the memtable that it was told to:\n%s", settings)
			}
			var r report.Report
			if err := json.Unmarshal(out.Bytes(), &r); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"acked", "delivered", "to the server", "from the server", "client writes", "client reads"} {
				if v, ok := r.Figure(name); !ok || v <= 0 {
					t.Errorf("%s: %v, %v", name, v, ok)
				}
			}
			if v, ok := r.Figure("longest time without an ack"); !ok || v > 500 {
				t.Errorf("the longest time without an ack is %v ms of 500, %v", v, ok)
			}
			if v, ok := r.Figure("seconds without an ack"); !ok || v != 0 {
				t.Errorf("%v whole seconds without an ack in 500 ms, %v", v, ok)
			}
			if len(r.Latencies) != len(tc.says) {
				t.Fatalf("latencies %+v", r.Latencies)
			}
			for i, l := range r.Latencies {
				if l.Name != tc.says[i] || l.Count == 0 {
					t.Errorf("latency %+v, want that of %s", l, tc.says[i])
				}
			}
		})
	}
}

func TestPairsFailWithABrokenPromise(t *testing.T) {
	p := Pairs{Users: 10, Size: 128, Duration: 100 * time.Millisecond, Bare: true, Memtable: 64, Program: program()}
	p.BareCommand = []string{liarArgument}
	var out bytes.Buffer
	if err := p.Run(t.Context(), &out, io.Discard); err == nil || !strings.Contains(err.Error(), "faults") {
		t.Errorf("it ended with %v", err)
	}
	if !strings.Contains(out.String(), "was given out twice") {
		t.Errorf("what was broken is not said:\n%s", out.String())
	}
}

// pebbleSettings gives what Pebble notes of its settings in a server's data.
func pebbleSettings(t *testing.T, data string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, "db", "OPTIONS-*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files with settings, %v", len(files), err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
