//go:build cluster

package history

import (
	"testing"
	"time"

	"gannet/internal/chain"
	"gannet/internal/redis/redistest"
	"gannet/internal/services/servicestest"
	"gannet/logic"
	"gannet/logic/cluster/view"
	"gannet/protocol"
)

// A list whose counts ClickHouse has alone does not wait for one that stands still; what it
// says once it goes on is in the next list, and then Redis has it. It needs Redis, too.
func TestListsOfASlowClickHouse(t *testing.T) {
	n := clickHouseNode(t, 1)
	n.batch(1, 1, 2, 1, repeat(5, "x")...)
	n.batch(2, 1, 1, 1, repeat(2, "x")...)
	n.read(2, 1, 3)
	n.flush()
	address := servicestest.Redis(t)
	q := n.queues[0]
	o := view.Options{Name: redistest.Prefix(t, address), Queues: []chain.Queue{q.name}, Counts: counted{n.reader}}
	client := redistest.Client(t, address)
	node := func() *view.View { // which has asked for nothing yet
		v, err := view.New(client, o)
		must(t, err)
		return v
	}
	w, err := node().Writer(q.name)
	must(t, err)
	for _, fed := range q.records {
		must(t, w.Forward(t.Context(), fed.Mark, fed.Change))
	}
	must(t, w.Confirm(t.Context()))
	list := func(v *view.View, since uint64) ([]protocol.State, uint64, time.Duration) {
		t.Helper()
		began := time.Now()
		page, err := v.Changed(t.Context(), logic.InboxQuery{User: 2, Device: 1, Since: since, Limit: 10, Room: 1 << 20})
		must(t, err)
		return page.States, page.Next, time.Since(began)
	}

	servicestest.Kill(t, "clickhouse", "STOP")
	running := false
	goOn := func() {
		if !running {
			running = true
			servicestest.Kill(t, "clickhouse", "CONT")
		}
	}
	t.Cleanup(goOn)
	slow := node()
	look := func() time.Duration {
		states, _, took := list(slow, 0)
		if len(states) != 1 || states[0].Unread != 4 {
			t.Fatalf("after %v there is %+v; want 4 unread at most", took, states)
		}
		return took
	}
	if took := look(); took > 5*time.Second {
		t.Errorf("a list took %v", took)
	}
	// A list that comes after the pause waits, and begins the next one.
	eventually(t, "a list does not wait while nobody is asked", func() bool { return look() < 300*time.Millisecond })
	_, since, _ := list(node(), 0)
	if states, _, _ := list(node(), since); len(states) != 1 || states[0].Unread != 4 {
		t.Fatalf("though nobody knows what is unread there is %+v", states)
	}
	goOn()
	eventually(t, "the next list is exact", func() bool {
		states, _, _ := list(slow, since)
		return len(states) == 1 && states[0].Unread == 2
	})
	servicestest.Kill(t, "clickhouse", "STOP")
	running = false
	eventually(t, "Redis gives it at once", func() bool {
		states, _, took := list(node(), 0)
		if len(states) != 1 || states[0].Unread != 2 {
			t.Fatalf("after %v Redis gives %+v; want 2 unread", took, states)
		}
		return took < 300*time.Millisecond
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
