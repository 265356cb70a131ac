// Package meter has the instruments: for latencies, and for what a process takes
// of the machine.
package meter

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

// Recorder takes the latencies of a run. Safe for concurrent use.
type Recorder struct {
	mu sync.Mutex
	h  *hdrhistogram.Histogram
}

// NewRecorder gives one that is empty.
func NewRecorder() *Recorder {
	return &Recorder{h: hdrhistogram.New(minLatency, maxLatency, latencyDigits)}
}

// Sampler gives a new sampler for this recorder.
func (r *Recorder) Sampler() Sampler { return Sampler{to: r} }

// Summary gives the latencies that were flushed so far.
func (r *Recorder) Summary() Latency {
	r.mu.Lock()
	defer r.mu.Unlock()
	us := func(ns int64) float64 { return float64(ns) / float64(time.Microsecond) }
	return Latency{
		Count: r.h.TotalCount(),
		P50:   us(r.h.ValueAtQuantile(50)),
		P90:   us(r.h.ValueAtQuantile(90)),
		P99:   us(r.h.ValueAtQuantile(99)),
		P999:  us(r.h.ValueAtQuantile(99.9)),
		Max:   us(r.h.Max()),
	}
}

// Sampler collects the latencies of one connection, so that connections seldom
// wait for each other at their recorder. For one goroutine at a time.
type Sampler struct {
	to *Recorder
	n  int
	ns [sampleBatch]int64
}

// sampleBatch is two cache lines: taking a latency costs little memory, and the
// recorder's lock little time.
const sampleBatch = 16

// Add takes a latency in nanoseconds.
func (s *Sampler) Add(ns int64) {
	s.ns[s.n] = ns
	s.n++
	if s.n == sampleBatch {
		s.Flush()
	}
}

// Flush gives what was added to the recorder.
func (s *Sampler) Flush() {
	s.to.mu.Lock()
	defer s.to.mu.Unlock()
	for _, ns := range s.ns[:s.n] {
		// Within the bounds a value cannot be refused.
		_ = s.to.h.RecordValue(min(max(ns, 0), maxLatency))
	}
	s.n = 0
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
