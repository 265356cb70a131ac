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

// metrics collects the counters of all parts. It reads them anew for each request.
type metrics struct{ vars func() map[string]any }

// Describe sends nothing, because the parts decide at run time which counters there are.
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

// undescribed is the help text of a counter that is not in descriptions. Tests check that no part has
// one. Its type is "untyped", because nobody has said whether it can fall.
const undescribed = "Not described."

// describe gives the family of a counter of a part, the value of the family's label if it has one,
// and the labels of the part.
func describe(part, key string) (f family, value string, labels map[string]string, known bool) {
	d := descriptions[part]
	if f, known = d.families[key]; known && f.label == "" {
		return f, "", d.labels, true
	}
	word, rest, several := strings.Cut(key, ".")
	if f, known = d.families[word]; known && several && f.label != "" {
		return f, strings.ReplaceAll(rest, " ", "_"), d.labels, true
	}
	f = family{name: part + "_" + word, help: undescribed}
	if several {
		f.label = "what"
	}
	return f, rest, nil, false
}

// metric gives a counter of a part in Prometheus' form.
func metric(part, key string, n float64) prometheus.Metric {
	f, value, labels, known := describe(part, key)
	kind := prometheus.CounterValue
	switch {
	case !known:
		kind = prometheus.UntypedValue
	case f.gauge:
		kind = prometheus.GaugeValue
	}
	if f.label == "" {
		return prometheus.MustNewConstMetric(prometheus.NewDesc("gannet_"+f.name, f.help, nil, labels), kind, n)
	}
	return prometheus.MustNewConstMetric(prometheus.NewDesc("gannet_"+f.name, f.help, []string{f.label}, labels), kind, n, value)
}

// ungathered counts and sometimes logs answers that are incomplete: because two metrics with the
// same name conflict, so that one is left out, or because the reader went away.
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

// metricsHandler serves the counters, the gauges of queues, what Go and the system say of the
// process, and the version.
func metricsHandler(version string, vars func() map[string]any, queues *queues, errs *ungathered) http.Handler {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "gannet_build_info", Help: "Always 1; the labels say which build this is.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	build.Set(1)
	r := prometheus.NewRegistry()
	r.MustRegister(
		metrics{vars}, queues, build, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, ErrorLog: errs})
}
