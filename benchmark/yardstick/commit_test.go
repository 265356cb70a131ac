package yardstick

import (
	"testing"
	"time"
)

func TestCommitsAreMeasured(t *testing.T) {
	const records = 32
	r, err := CommitRun{Dir: t.TempDir(), Records: records, Size: 200, Duration: 50 * time.Millisecond}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if per := r.Records / r.Commits; r.Commits <= 0 || per < records-0.01 || per > records+0.01 {
		t.Errorf("measured %+v with %d records a batch", r, records)
	}
	if r.Latency.Count == 0 || r.Latency.P50 <= 0 {
		t.Errorf("measured %+v", r)
	}
}
