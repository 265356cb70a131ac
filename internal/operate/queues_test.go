package operate

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Gauges of queues are told in both forms, and are not asked for again and again.
func TestGaugesOfQueues(t *testing.T) {
	var times atomic.Int64
	s, err := Start("127.0.0.1:0", Sources{
		Vars: func() map[string]any { return map[string]any{} },
		Queues: func(ctx context.Context) (list []OfQueue) {
			if _, bounded := ctx.Deadline(); !bounded {
				t.Error("whoever is asked may take for ever")
			}
			times.Add(1)
			for g := range helpOfQueues {
				list = append(list, OfQueue{Gauge: g, Class: "chat", Queue: 3, Value: Seconds(1500 * time.Millisecond)})
			}
			return append(list, OfQueue{Gauge: TransferLag, Class: "system", Queue: 0, Value: Seconds(-time.Hour)})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	a := &asked{Server: s, t: t}
	began := time.Now()
	status, _, body := a.get("/metrics")
	for _, line := range []string{
		"# TYPE gannet_transfer_lag_seconds gauge",
		`gannet_transfer_lag_seconds{class="chat",queue="3"} 1.5`,
		`gannet_transfer_lag_seconds{class="system",queue="0"} 0`,
		`gannet_transfer_lag_records{class="chat",queue="3"} `,
		`gannet_transfer_unread_seconds{class="chat",queue="3"} `,
		`gannet_history_lag_records{class="chat",queue="3"} `,
		`gannet_history_lag_seconds{class="chat",queue="3"} `,
		`gannet_logic_unwritable_seconds{class="chat",queue="3"} `,
	} {
		if status != http.StatusOK || !strings.Contains(body, line) {
			t.Errorf("%d, %q is not in\n%s", status, line, body)
		}
	}
	if problem := lint(t, body); problem != "" {
		t.Error(problem)
	}
	if _, _, body := a.get("/debug/vars"); !strings.Contains(body, `"gauge": "transfer_lag_seconds"`) {
		t.Errorf("the variables are\n%s", body)
	}
	before := times.Load()
	if took := time.Since(began); before != 1 && took < queuesFresh {
		t.Errorf("in %v they were asked for %d times", took, before)
	}
	time.Sleep(queuesFresh)
	a.get("/metrics")
	if n := times.Load(); n != before+1 {
		t.Errorf("after a moment they were asked for %d times in all, before %d", n, before)
	}
}
