//go:build cluster

package history

import (
	"testing"
	"time"

	"gannet/internal/services/servicestest"
)

// However many records of however many queues wait, ClickHouse gets one insert for each
// table.
func TestOneInsertATable(t *testing.T) {
	n := clickHouseNode(t, 4)
	for peer := uint64(2); peer < 40; peer++ {
		n.send(1, 1, peer, peer*100, "one", "two", "three")
		n.read(peer, 1, 2)
	}
	before := n.store.Vars()["inserts"]
	n.flush()
	const tables = 6 // senders, messages, conversations, cursors, devices, marks
	if inserts := n.store.Vars()["inserts"] - before; inserts != tables {
		t.Errorf("%d inserts", inserts)
	}
	if waiting := n.feeder.Waiting(); waiting != 0 {
		t.Errorf("%d bytes wait", waiting)
	}
	n.flush()
	if inserts := n.store.Vars()["inserts"] - before; inserts != tables {
		t.Errorf("%d inserts where nothing is new", inserts-tables)
	}
}

// The feeder inserts by itself: when there is enough, or after a while.
func TestTheFeederInserts(t *testing.T) {
	for what, o := range map[string]FeederOptions{
		"rows": {Every: manual, Rows: 3}, "bytes": {Every: manual, Bytes: 1000}, "time": {Every: 20 * time.Millisecond},
	} {
		n := newNode(t, openStore(t, optionsAt(t, servicestest.ClickHouse(t))), 1, o, nil)
		n.send(1, 1, 2, 1, "one", "two", "three")
		n.batch(1, 1, 2, 10, repeat(10, "a body of some length, so that there are enough bytes")...)
		eventually(t, what+" make it insert", func() bool {
			at, _ := n.feeder.Inserted(n.queues[0].name)
			return at.Offset >= 2
		})
	}
}
