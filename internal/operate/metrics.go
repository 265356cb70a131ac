package operate

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// families says how the counters of a part are told in Prometheus' form: those whose
// names begin with the word and a dot are one family, with what is behind the dot as its
// label. Families that are not here have the word as their name and the label "what".
// The names keep to https://prometheus.io/docs/practices/naming/.
var families = map[string]struct {
	name, label, help string
	gauge             bool
}{
	"acks":       {name: "acks_total", label: "outcome", help: "Acks over the rate of their connection, and what became of them."},
	"close":      {name: "closed_connections_total", label: "reason", help: "Connections that ended, by the code of their CLOSE."},
	"connect":    {name: "refused_connections_total", label: "reason", help: "Connections that were not let in."},
	"damaged":    {name: "damage_total", label: "what", help: "Damage that was met in files."},
	"drop":       {name: "dropped_total", label: "what", help: "What was dropped: the client finds it by SYNC, or hears of it."},
	"failed":     {name: "failures_total", label: "what", help: "Calls that did not succeed."},
	"hostile":    {name: "hostile_inputs_total", label: "what", help: "What another part sent that does not keep to its port."},
	"logic":      {name: "logic_failures_total", label: "what", help: "Calls of logic that did not succeed."},
	"places":     {name: "places", label: "state", help: "Places of connections that are taken.", gauge: true},
	"push":       {name: "unsent_pushes_total", label: "reason", help: "Pushes that did not go out, or went out again."},
	"refused":    {name: "refusals_total", label: "reason", help: "Requests that were refused."},
	"retry":      {name: "retries_total", label: "what", help: "Calls that were made again."},
	"state":      {name: "queues", label: "state", help: "Queues, by what this node does with them.", gauge: true},
	"unreadable": {name: "unreadable_total", label: "what", help: "What could not be read in records."},
}

// single names what counts by itself and is not called like its counter with _total
// behind it, part by part.
var single = map[string]map[string]struct {
	name, help string
	gauge      bool
}{
	"debug": {
		"accepted": {name: "accepted_connections_total", help: "Connections of the debug endpoint that were accepted."},
		"open":     {name: "open_connections", help: "Connections of the debug endpoint.", gauge: true},
	},
	"gateway": {
		"accepted":          {name: "accepted_connections_total", help: "Connections that were accepted."},
		"begun_bytes":       {name: "begun_bytes", help: "Bytes of frames that are begun and not whole.", gauge: true},
		"blocked":           {name: "blocked_connections", help: "Connections whose client does not read just now.", gauge: true},
		"blocked_bytes":     {name: "blocked_bytes", help: "Bytes that wait for them.", gauge: true},
		"bytes_in":          {name: "received_bytes_total", help: "Bytes from clients."},
		"bytes_out":         {name: "sent_bytes_total", help: "Bytes to clients."},
		"connections":       {name: "connections", help: "Connections that are logged in or about to.", gauge: true},
		"failed_handshakes": {name: "failed_handshakes_total", help: "TLS handshakes that failed."},
		"leaving":           {name: "leaving_connections", help: "Connections that were refused before TLS and may still read why.", gauge: true},
		"frames_in":         {name: "received_frames_total", help: "Frames from clients."},
		"requests":          {name: "forwarded_frames_total", help: "Frames that went to logic, in batches."},
	},
	"store": {
		"free_bytes":    {name: "disk_free_bytes", help: "Room on the disk of the store.", gauge: true},
		"waiting_bytes": {name: "waiting_bytes", help: "Bytes that wait to be written out.", gauge: true},
	},
}

// falling names what also falls and means the same in every part that has it.
var falling = map[string]string{
	"connections": "Connections that are open.",
	"nodes":       "Other nodes that are known here.",
	"queues":      "Queues that are read here.",
	"undone":      "Records that were handed over and are not done.",
	"version":     "Version of the newest view of the registry that is known here.",
}

// metrics tells the counters of all parts, read when it is asked.
type metrics struct{ vars func() map[string]any }

// Describe tells nothing ahead: which counters there are is the parts' business.
func (metrics) Describe(chan<- *prometheus.Desc) {}

// Collect reads the counters.
func (m metrics) Collect(out chan<- prometheus.Metric) {
	for part, values := range m.vars() {
		counters, ok := values.(map[string]uint64)
		if !ok {
			continue
		}
		for key, n := range counters {
			out <- metric(part, key, float64(n))
		}
	}
}

// metric gives a counter of a part in Prometheus' form.
func metric(part, key string, n float64) prometheus.Metric {
	word, rest, labelled := strings.Cut(key, ".")
	kind := prometheus.CounterValue
	if !labelled {
		f, ok := single[part][key]
		help, falls := falling[key]
		switch {
		case ok:
		case falls:
			f.name, f.help, f.gauge = key, help, true
		default:
			f.name, f.help = key+"_total", "Counter "+key+" of the debug endpoint."
		}
		if f.gauge {
			kind = prometheus.GaugeValue
		}
		return prometheus.MustNewConstMetric(prometheus.NewDesc("gannet_"+part+"_"+f.name, f.help, nil, nil), kind, n)
	}
	f, ok := families[word]
	if !ok {
		f.name, f.label, f.help = word+"_total", "what", "Counters "+word+" of the debug endpoint."
	}
	if f.gauge {
		kind = prometheus.GaugeValue
	}
	return prometheus.MustNewConstMetric(prometheus.NewDesc("gannet_"+part+"_"+f.name, f.help, []string{f.label}, nil), kind, n, rest)
}

// ungathered counts and seldom logs answers that are not whole: two metrics of one name that
// do not go together, of which one is left out, or an asker who went away.
type ungathered struct {
	Trouble
	log *slog.Logger
}

// Println implements promhttp.Logger.
func (u *ungathered) Println(v ...any) {
	if u.Note() {
		u.log.Error("operate: an answer with metrics is not whole", "why", strings.ReplaceAll(strings.TrimSpace(fmt.Sprintln(v...)), "\n", "; "))
	}
}

// metricsHandler serves the counters, what Go and the system say of the process, and the
// version.
func metricsHandler(version string, vars func() map[string]any, errs *ungathered) http.Handler {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "gannet_build_info", Help: "Always 1; the labels say which build this is.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	build.Set(1)
	r := prometheus.NewRegistry()
	r.MustRegister(
		metrics{vars}, build, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, ErrorLog: errs})
}
