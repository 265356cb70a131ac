package operate

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

func TestMetrics(t *testing.T) {
	s, err := Start("127.0.0.1:0", Sources{
		Version: "v1.2.3",
		Vars: func() map[string]any {
			return map[string]any{
				"gateway": map[string]uint64{
					"close.replaced": 3, "close.peer": 4, "places.taken": 5, "connections": 6, "batches": 7, "surprise.at_all": 8,
				},
				"store":  map[string]uint64{"free_bytes": 9, "refused.busy": 10},
				"others": "what is no list of counters",
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	a := &asked{Server: s, t: t}
	status, header, body := a.get("/metrics")
	if status != http.StatusOK || !strings.HasPrefix(header.Get("Content-Type"), "text/plain") {
		t.Fatalf("%d, %v", status, header)
	}
	for _, line := range []string{
		`gannet_gateway_closed_connections_total{reason="replaced"} 3`,
		`gannet_gateway_closed_connections_total{reason="peer"} 4`,
		`gannet_gateway_places{state="taken"} 5`,
		"# TYPE gannet_gateway_places gauge",
		"gannet_gateway_connections 6",
		"gannet_gateway_batches_total 7",
		"# TYPE gannet_gateway_batches_total counter",
		`gannet_gateway_surprise_total{what="at_all"} 8`,
		"gannet_store_disk_free_bytes 9",
		`gannet_store_refusals_total{reason="busy"} 10`,
		`version="v1.2.3"`,
		"go_goroutines ", "process_open_fds ",
	} {
		if !strings.Contains(body, line) {
			t.Errorf("%q is not in\n%s", line, body)
		}
	}
	if problem := lint(t, body); problem != "" {
		t.Error(problem)
	}
}

// lint gives what is wrong with the names and helps of the product's metrics.
func lint(t *testing.T, body string) (all string) {
	t.Helper()
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "gannet_") {
			all += fmt.Sprintf("%s: %s\n", p.Metric, p.Text)
		}
	}
	return all
}

// Metrics that do not go together are no secret.
func TestMetricsThatCollide(t *testing.T) {
	var said bytes.Buffer
	s, err := Start("127.0.0.1:0", Sources{
		Log: slog.New(slog.NewTextHandler(&said, nil)),
		Vars: func() map[string]any {
			return map[string]any{"part": map[string]uint64{"twice": 1, "twice.over": 2, "whole": 3}}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	a := &asked{Server: s, t: t}
	if status, _, body := a.get("/metrics"); status != http.StatusOK || !strings.Contains(body, "gannet_part_whole_total 3") {
		t.Errorf("%d, %s", status, body)
	}
	if _, _, body := a.get("/metrics"); !strings.Contains(body, `gannet_debug_failures_total{what="metrics"} 1`) {
		t.Errorf("it is not counted:\n%s", body)
	}
	s.Stop()
	if text := said.String(); strings.Count(text, "level=ERROR") != 1 || !strings.Contains(text, "gannet_part_twice_total") {
		t.Errorf("the log says %q", text)
	}
}
