package benchmark

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A histogram tells values apart from a microsecond on, to three digits, up to
// a minute; what takes longer counts as a minute.
const (
	minLatency    = int64(time.Microsecond)
	maxLatency    = int64(time.Minute)
	latencyDigits = 3
)

// recorder takes the latencies of a part of a run's connections. A run has
// several, so that connections seldom wait for each other.
type recorder struct {
	mu sync.Mutex
	h  *hdrhistogram.Histogram
}

func newRecorders(n int) []*recorder {
	all := make([]*recorder, n)
	for i := range all {
		all[i] = &recorder{h: hdrhistogram.New(minLatency, maxLatency, latencyDigits)}
	}
	return all
}

// record takes a latency in nanoseconds.
func (r *recorder) record(ns int64) {
	r.mu.Lock()
	// Within the bounds a value cannot be refused.
	_ = r.h.RecordValue(min(max(ns, 0), maxLatency))
	r.mu.Unlock()
}

// summary gives the latencies that all the recorders took.
func summary(all []*recorder) Latency {
	sum := hdrhistogram.New(minLatency, maxLatency, latencyDigits)
	for _, r := range all {
		r.mu.Lock()
		sum.Merge(r.h)
		r.mu.Unlock()
	}
	us := func(ns int64) float64 { return float64(ns) / float64(time.Microsecond) }
	return Latency{
		Count: sum.TotalCount(),
		P50:   us(sum.ValueAtQuantile(50)),
		P90:   us(sum.ValueAtQuantile(90)),
		P99:   us(sum.ValueAtQuantile(99)),
		P999:  us(sum.ValueAtQuantile(99.9)),
		Max:   us(sum.Max()),
	}
}

// Latency summarises a distribution, in microseconds.
type Latency struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50_us"`
	P90   float64 `json:"p90_us"`
	P99   float64 `json:"p99_us"`
	P999  float64 `json:"p999_us"`
	Max   float64 `json:"max_us"`
}
