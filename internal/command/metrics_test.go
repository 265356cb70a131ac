package command

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"gannet/idl/rpc"
	directoryredis "gannet/internal/directory/redis"
	limiterredis "gannet/internal/limiter/redis"
	"gannet/internal/operate"
	"gannet/internal/rocketmq"
	"gannet/logic/cluster/history"
	"gannet/logic/cluster/owner"
	"gannet/logic/cluster/view"
	"gannet/transfer"
	transfercluster "gannet/transfer/cluster"
)

// partsOfNodes gives the counters of all that nodes of a cluster have, under the names that
// they have at the debug address. All have the names that they have at work: most of them
// are the counters of a part that has not begun.
func partsOfNodes(t *testing.T) map[string]map[string]uint64 {
	t.Helper()
	gateways := rpc.NewGateways(nil, slog.New(slog.DiscardHandler))
	receipts := rpc.NewReceipts(nil, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { gateways.Close(); receipts.Close() })
	queues := new(owner.Owner).Vars()
	for s := owner.Unowned; s <= owner.Stopped; s++ {
		queues["state."+s.String()] = 1
	}
	all := map[string]map[string]uint64{
		"gateways": gateways.Stats(), "receipts": receipts.Stats(), "queues_chat": queues, "queues_system": maps.Clone(queues),
		"history": new(history.Store).Vars(), "view": new(view.View).Vars(), "broker": troubles(new(rocketmq.Client)),
		"transfer_chat": new(transfer.Server).Stats(), "queue_chat": new(transfercluster.Queue).Vars(), "queue_system": new(transfercluster.Queue).Vars(),
		"lookups": new(transfercluster.Directory).Vars(), "directory": new(directoryredis.Directory).Vars(), "limiter": new(limiterredis.Limiter).Vars(),
		"neighbour": new(neighbour).vars(),
		// A registry and a server of calls have none before they have begun.
		"registry": {"unanswered": 0, "unreadable": 0, "ended": 0, "nodes": 0, "strange": 0, "version": 0},
		"rpc":      {"connections": 0, "calls": 0, "moved": 0, "other": 0, "failed.accept": 0, "failed.call": 0, "refused.connect": 0, "hostile.call": 0, "hostile.payload": 0, "panics": 0},
	}
	all["queue_chat"]["undone"] = 0 // there is one while a queue is read
	n := uint64(1 << 40)
	for _, part := range slices.Sorted(maps.Keys(all)) {
		for _, key := range slices.Sorted(maps.Keys(all[part])) {
			n++
			all[part][key] = n
		}
	}
	return all
}

// Every counter of a node is there in Prometheus' form, under a name that keeps to its rules
// and says whether it falls.
func TestMetricsOfNodes(t *testing.T) {
	all := partsOfNodes(t)
	var said bytes.Buffer
	s, err := operate.Start("127.0.0.1:0", operate.Sources{
		Log: slog.New(slog.NewTextHandler(&said, nil)),
		Vars: func() map[string]any {
			vars := map[string]any{}
			for part, counters := range all {
				vars[part] = counters
			}
			return vars
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.Get("http://" + s.Address() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	s.Stop()
	if err != nil {
		t.Fatal(err)
	}
	body := string(b)
	for part, counters := range all {
		for key, n := range counters {
			if value := fmt.Sprintf(" %v\n", float64(n)); strings.Count(body, value) != 1 {
				t.Errorf("%s of %s is there %d times", key, part, strings.Count(body, value))
			}
		}
	}
	// All that can fall: a rate of these would show steps that never were.
	for _, name := range []string{
		"rpc_client_nodes", "rpc_server_connections", "registry_nodes", "registry_view_version",
		"transfer_queues", "transfer_queue_undone_records", "logic_queues", "logic_queue_unavailable_conversations",
	} {
		if !strings.Contains(body, "# TYPE gannet_"+name+" gauge\n") {
			t.Errorf("%s is no gauge", name)
		}
	}
	for _, class := range []string{"chat", "system"} {
		if !strings.Contains(body, `gannet_logic_queue_records_total{class="`+class+`"} `) {
			t.Errorf("the records of %s queues are not there", class)
		}
	}
	if strings.Contains(body, " untyped\n") {
		t.Errorf("some counters have no help text:\n%s", body)
	}
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "gannet_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	if said.Len() > 0 {
		t.Errorf("the log says %s", said.String())
	}
}
