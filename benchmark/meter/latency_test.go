package meter

import (
	"testing"
	"time"
)

func TestARecorderSummarisesItsSamplers(t *testing.T) {
	r := NewRecorder()
	all := [2]Sampler{r.Sampler(), r.Sampler()}
	for i := range 100 {
		all[i%2].Add(int64(time.Duration(i+1) * time.Millisecond))
	}
	all[0].Add(-1)
	all[1].Add(int64(time.Hour))
	for i := range all {
		all[i].Flush()
	}
	got := r.Summary()
	if got.Count != 102 {
		t.Errorf("%d latencies, want 102", got.Count)
	}
	// Three digits are kept.
	if got.P50 < 50_000*0.998 || got.P50 > 51_000*1.002 {
		t.Errorf("the median is %v µs, want 50 to 51 ms", got.P50)
	}
	if got.Max < 60e6 || got.Max > 60e6*1.002 {
		t.Errorf("the maximum is %v µs, want the bound, a minute", got.Max)
	}
}
