//go:build cluster

package history

import (
	"errors"
	"testing"
	"time"

	"gannet/internal/chain"
)

// No mark says that something is there which went to a ClickHouse that was started anew
// while it went.
func TestNoMarkAfterARestartMeanwhile(t *testing.T) {
	n := clickHouseNode(t, 1)
	n.batch(1, 1, 2, 1, "x")
	f := n.feeder
	r, err := n.store.running(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	q := f.queues[n.queues[0].name]
	f.filling.goals[n.queues[0].name] = goal{q, q.taken}
	f.sending, f.filling = f.filling, newBlock()
	f.mu.Unlock()
	if err := f.insert(t.Context(), r-2*jitter); !errors.Is(err, errRestarted) {
		t.Errorf("inserted for another run: %v", err)
	}
	if mark, err := n.store.Mark(t.Context(), n.queues[0].name); err != nil || mark != chain.Beginning || count(t, n.store, "marks") != 0 {
		t.Errorf("the mark is %v, %v", mark, err)
	}
	n.flush() // sends it again
	if mark, err := n.store.Mark(t.Context(), n.queues[0].name); err != nil || mark != n.queues[0].records[0].Mark {
		t.Errorf("the mark is %v, %v", mark, err)
	}
}

// Of the marks of one second the highest counts, although looks at the beginning of a run differ.
func TestTheHighestMarkOfASecondCounts(t *testing.T) {
	n := clickHouseNode(t, 1)
	r, err := n.store.running(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	queue, last := n.queues[0].name, chain.Mark{Offset: 5, Writer: 7}
	at := time.Unix(1_700_000_000, 0)
	err = n.store.columns(t.Context(), "INSERT INTO marks (class, queue, position, writer, safe_position, run, at) VALUES",
		[]uint8{uint8(queue.Class), uint8(queue.Class)}, []uint16{uint16(queue.Number), uint16(queue.Number)}, []int64{last.Offset - 1, last.Offset},
		[]uint64{last.Writer, last.Writer}, []int64{-1, -1}, []int64{int64(r + 1), int64(r)}, []time.Time{at, at})
	if err != nil {
		t.Fatal(err)
	}
	if mark, err := n.store.Mark(t.Context(), queue); err != nil || mark != last {
		t.Errorf("the mark is %v, %v; want %v", mark, err, last)
	}
}

// A queue that was left while its records were on their way gets no mark from whoever left.
func TestNoMarkForAQueueThatWasLeft(t *testing.T) {
	n := clickHouseNode(t, 2)
	peers := map[int]uint64{}
	for peer := uint64(2); len(peers) < 2; peer++ {
		peers[direct(1, peer).Partition()%2] = peer
	}
	n.batch(1, 1, peers[0], 1, "x")
	n.batch(1, 1, peers[1], 1, "x")
	n.feeder.Leave(n.queues[0].name)
	n.flush()
	for i, q := range n.queues {
		want := chain.Beginning
		if i == 1 {
			want = q.records[0].Mark
		}
		if mark, err := n.store.Mark(t.Context(), q.name); err != nil || mark != want {
			t.Errorf("the mark of %v is %v, %v; want %v", q.name, mark, err, want)
		}
	}
	if got := count(t, n.store, "messages"); got != 2 {
		t.Errorf("%d messages are inserted, want both", got)
	}
}
