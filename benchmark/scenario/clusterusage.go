package scenario

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"gannet/benchmark/cluster"
	"gannet/benchmark/meter"
)

// usages are what the processes of a cluster have used so far, by name: microseconds of
// CPU, and counters.
type usages map[string]float64

// cpuOf is how the name of a process's CPU begins.
const cpuOf = "CPU, µs a message: "

// minus gives what came between.
func (u usages) minus(before usages) usages {
	d := usages{}
	for name, n := range u {
		d[name] = n - before[name]
	}
	return d
}

// Figures that count batches: what gateways forward to logic, records, and what gateways are
// called for by others, which is hardly anything but pushes.
const (
	forwardsFigure = "batches of gateways to logic"
	recordsFigure  = "broker sends"
	pushesFigure   = "calls of other roles to gateways"
)

// counted are counters of a role's debug address: what a table calls them, and where
// they are.
var counted = []struct{ role, figure, group, counter string }{
	{"gateway", forwardsFigure, "gateway", "batches"},
	{"logic", recordsFigure, "queues_chat", "records"},
	{"logic", "view scripts", "view", "scripts"},
	{"logic", "inserts into ClickHouse", "history", "inserts"},
	{"logic", "calls of other roles to logic", "rpc", "calls"},
	{"transfer", "pulls", "queue_chat", "pulls"},
	{"transfer", "looks at a view's mark", "queue_chat", "view.looks"},
	{"transfer", "look-ups", "lookups", "questions"},
	{"gateway", pushesFigure, "rpc", "calls"},
	{"gateway", "writes to connections", "gateway", "writes"},
}

// usages reads them. What does not answer is left out.
func (f *fleet) usages() usages {
	u := usages{cpuOf + "client": micros(meter.CPU(os.Getpid()))}
	for _, name := range []string{cluster.Redis, cluster.Broker, cluster.ClickHouse} { // nobody asks the name server meanwhile
		if pid, err := f.Services.PID(name); err == nil {
			u[cpuOf+name] = micros(meter.CPU(pid))
		}
	}
	for _, n := range f.Nodes {
		u[cpuOf+n.Role] += micros(meter.CPU(n.PID()))
	}
	if f.bare {
		return u
	}
	for _, n := range f.Nodes {
		vars, err := debugVars(n.Debug())
		if err != nil {
			continue
		}
		for _, c := range counted {
			if c.role == n.Role {
				var group map[string]any
				if json.Unmarshal(vars[c.group], &group) == nil {
					n, _ := group[c.counter].(float64)
					u[c.figure] += n
				}
			}
		}
	}
	return u
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// debugVars reads the counters of a process.
func debugVars(address string) (map[string]json.RawMessage, error) {
	client := http.Client{Timeout: 2 * time.Second}
	answer, err := client.Get("http://" + address + "/debug/vars")
	if err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	defer answer.Body.Close()
	var vars map[string]json.RawMessage
	if err := json.NewDecoder(answer.Body).Decode(&vars); err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	return vars, nil
}

// cost gives microseconds of CPU for each message, of all processes.
func (m *measurement) cost() (sum float64) {
	for name := range m.used {
		if strings.HasPrefix(name, cpuOf) {
			sum += m.per(name, 1)
		}
	}
	return sum
}

// per gives what was used for n messages.
func (m *measurement) per(name string, n float64) float64 {
	if m.counts.Delivered == 0 {
		return 0
	}
	return n * m.used[name] / float64(m.counts.Delivered)
}

// clusterFigures gives a figure for everything that was used: CPU a message, how often
// something happens for a thousand messages, and how many messages a record has.
func clusterFigures(of []*measurement) []figure {
	var all []figure
	used := func(name string) bool {
		for _, m := range of {
			if m.used[name] > 0 {
				return true
			}
		}
		return false
	}
	all = append(all, figure{name: cpuOf + "all", of: (*measurement).cost})
	for _, role := range []string{"broker", "gateway", "logic", "transfer", "redis", "clickhouse", "client"} {
		if name := cpuOf + role; used(name) {
			all = append(all, figure{name: name, of: func(m *measurement) float64 { return m.per(name, 1) }})
		}
	}
	for _, c := range counted {
		if used(c.figure) {
			all = append(all, figure{name: c.figure + " a thousand messages", of: func(m *measurement) float64 { return m.per(c.figure, 1000) }})
		}
	}
	return all
}
