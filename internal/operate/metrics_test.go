package operate

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"slices"
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
				"store":       map[string]uint64{"free_bytes": 9, "refused.busy": 10},
				"queue_chat":  map[string]uint64{"void.other queue": 11, "undone": 12, "failed.lag": 13},
				"queues_chat": map[string]uint64{"unavailable.conversations": 14, "state.owned": 15},
				"gateways":    map[string]uint64{"calls": 16},
				"receipts":    map[string]uint64{"calls": 17},
				"others":      "what is no list of counters",
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
		"# TYPE gannet_gateway_surprise untyped",
		`gannet_gateway_surprise{what="at_all"} 8`,
		"gannet_store_disk_free_bytes 9",
		`gannet_store_refused_entries_total{reason="busy"} 10`,
		`gannet_transfer_queue_void_records_total{class="chat",reason="other_queue"} 11`,
		`gannet_transfer_queue_undone_records{class="chat"} 12`,
		`gannet_transfer_queue_failures_total{class="chat",operation="lag"} 13`,
		"# TYPE gannet_logic_queue_unavailable_conversations gauge",
		`gannet_logic_queue_unavailable_conversations{class="chat"} 14`,
		`gannet_logic_queues{class="chat",state="owned"} 15`,
		`gannet_rpc_client_tries_total{role="gateway"} 16`,
		`gannet_rpc_client_tries_total{role="transfer"} 17`,
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

// Every family has a name of its own and a help text, and is named _total exactly if it never falls.
func TestDescriptions(t *testing.T) {
	all := map[string]family{}
	for part, d := range descriptions {
		if len(d.families) == 0 {
			t.Errorf("%s has no families", part)
		}
		names := map[string]bool{}
		for key, f := range d.families {
			if names[f.name] {
				t.Errorf("%s of %s has a name that another one has: %s", key, part, f.name)
			}
			names[f.name] = true
			if other, known := all[f.name]; known && other != f {
				t.Errorf("%s is %+v and %+v", f.name, f, other)
			}
			all[f.name] = f
			if f.gauge == strings.HasSuffix(f.name, "_total") {
				t.Errorf("%s: gauge %v", f.name, f.gauge)
			}
			if len(f.help) < 16 || !strings.HasSuffix(f.help, ".") {
				t.Errorf("the help of %s is %q", f.name, f.help)
			}
		}
	}
	for g := range helpOfQueues {
		if _, twice := all[string(g)]; twice || strings.HasSuffix(string(g), "_total") {
			t.Errorf("%s is the name of a gauge of queues", g)
		}
	}
}

// An alarm on a name that no process has never goes off, so the docs name none.
func TestNamesInDocs(t *testing.T) {
	var text []byte
	for _, of := range []string{"operating", "cluster"} {
		part, err := os.ReadFile("../../docs/" + of + ".md")
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, part...)
	}
	var known []string
	for _, d := range descriptions {
		for _, f := range d.families {
			known = append(known, "gannet_"+f.name)
		}
	}
	for g := range helpOfQueues {
		known = append(known, "gannet_"+string(g))
	}
	names := regexp.MustCompile(`gannet_[a-z_]+\*?`).FindAllString(string(text), -1)
	if len(names) < 8 {
		t.Errorf("it names %v alone", names)
	}
	for _, name := range names {
		prefix, all := strings.CutSuffix(name, "*")
		if !slices.ContainsFunc(known, func(k string) bool { return k == name || all && strings.HasPrefix(k, prefix) }) {
			t.Errorf("no process has %s", name)
		}
	}
}

// Metrics that do not go together are no secret.
func TestMetricsThatCollide(t *testing.T) {
	var said bytes.Buffer
	s, err := Start("127.0.0.1:0", Sources{
		Log: slog.New(slog.NewTextHandler(&said, nil)),
		Vars: func() map[string]any {
			return map[string]any{"part": map[string]uint64{"one_twice": 1, "whole": 3}, "part_one": map[string]uint64{"twice": 2}}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	a := &asked{Server: s, t: t}
	if status, _, body := a.get("/metrics"); status != http.StatusOK || !strings.Contains(body, "gannet_part_whole 3") {
		t.Errorf("%d, %s", status, body)
	}
	if _, _, body := a.get("/metrics"); !strings.Contains(body, "gannet_debug_incomplete_metrics_total 1") {
		t.Errorf("it is not counted:\n%s", body)
	}
	s.Stop()
	if text := said.String(); strings.Count(text, "level=ERROR") != 1 || !strings.Contains(text, "gannet_part_one_twice") {
		t.Errorf("the log says %q", text)
	}
}
