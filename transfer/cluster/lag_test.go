//go:build cluster

package cluster

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"gannet/internal/chain"
	"gannet/internal/operate"
	"gannet/internal/registry"
)

// lagging is a scene of one queue, on real servers, whose node has its clock in the test's hand.
type lagging struct {
	*scene
	queue *Queue
	place registry.Registration
	now   atomic.Int64 // Unix milliseconds
}

func newLagging(t *testing.T) *lagging {
	l := &lagging{scene: newScene(t, 1)}
	l.now.Store(int64(message(0, 0, "").Time))
	l.place = l.node(1)
	o := l.options(1)
	o.Now = func() time.Time { return time.UnixMilli(l.now.Load()) }
	var err error
	l.queue, err = New(o)
	must(t, err)
	must(t, l.queue.Begin(t.Context(), 0))
	return l
}

// unknown is a gauge that is not told.
const unknown = -1

// is waits until the gauges of the queue are these.
func (l *lagging) is(what string, records, age, unread float64) {
	l.t.Helper()
	want := map[operate.QueueGauge]float64{operate.TransferLagRecords: records, operate.TransferLag: age, operate.TransferUnread: unread}
	var last []operate.OfQueue
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		got := map[operate.QueueGauge]float64{operate.TransferLagRecords: unknown, operate.TransferLag: unknown, operate.TransferUnread: unknown}
		last = l.queue.Gauges(l.t.Context())
		for _, g := range last {
			if g.Class != "chat" || g.Queue != 0 {
				l.t.Fatalf("told of %+v", g)
			}
			if g.Gauge != operate.TransferParked { // TestParks sees to that
				got[g.Gauge] = g.Value
			}
		}
		same := len(got) == len(want)
		for g, v := range want {
			same = same && got[g] == v
		}
		if same {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("%s it says %+v, want %+v", what, last, want)
		}
	}
}

// TestLag: it is told how many records are not pushed, and how old the first is, whether they
// are handed over, read, or neither.
func TestLag(t *testing.T) {
	l := newLagging(t)
	w := l.writers[0]
	f := follow(t, l.queue, 0, nil)
	l.is("of what is all pushed", 0, 0, 0)
	for i := range 3 { // one each millisecond
		w.put(message(0, i, "x"))
	}
	l.now.Add(10_000)
	eventually(t, "all", func() bool { return len(f.got()) == 3 })
	l.is("of what is handed over", 3, 10, 0)
	f.dones[1]()
	l.is("of what is done behind one that is not", 3, 10, 0)
	f.dones[0]()
	l.is("of the last", 1, 9.998, 0)
	f.dones[2]()
	l.is("of what is all pushed", 0, 0, 0)

	seen := w.append(message(0, 3, "x"))
	w.append(message(0, 4, "x"))
	l.is("of what the view has not", 2, 9.997, 0)
	w.forward(seen)
	eventually(t, "the fourth", func() bool { return len(f.got()) == 4 })
	f.dones[3]()
	l.is("of what the view has not", 1, 9.996, 0)
	w.forward(w.marks[4])
	eventually(t, "the fifth", func() bool { return len(f.got()) == 5 })
	f.dones[4]()

	// A record of somebody who lost the queue, as the last one there is, is nothing to push.
	stale := chain.Head{Kind: chain.Entries, Queue: w.queue, Prev: chain.Beginning, Writer: 77, Number: 1, Time: 1}
	_, err := l.stream.Append(t.Context(), w.queue, stale.Append(nil, message(0, 9, "void").AppendEntries(nil)))
	must(t, err)
	eventually(t, "the void one", func() bool { return l.queue.Vars()["void.stale"] == 1 })
	l.is("of what is all pushed or void", 0, 0, 0)

	must(t, l.place.SetState(t.Context(), registry.Draining))
	l.is("of a queue that is nobody's", unknown, unknown, unknown)
}

// TestLagWithoutFollower: what nobody can follow is told of too: since when, and how much waits
// behind the mark that Redis has.
func TestLagWithoutFollower(t *testing.T) {
	l := newLagging(t)
	w := l.writers[0]
	f := follow(t, l.queue, 0, doneAtOnce)
	w.put(message(0, 0, "x"))
	l.is("of what is all pushed", 0, 0, 0)
	must(t, ignore(f.end(), context.Canceled))
	key := l.queue.state.key(w.queue, "t")
	lost := chain.Mark{Offset: 0, Writer: 1, Number: 1} // the record there is another
	must(t, l.redis.Set(t.Context(), key, appendMark(nil, lost), 0).Err())
	l.now.Add(1000)
	fails := func() {
		t.Helper()
		if err := follow(t, l.queue, 0, doneAtOnce).over(); !errors.Is(err, chain.ErrLost) {
			t.Fatalf("it ended with %v", err)
		}
	}
	fails() // a follower is there for a moment
	w.put(message(0, 1, "x"))
	l.now.Add(30_000)
	l.is("of a queue that is not followed", 2, 31, 30)
	for range 5 {
		fails()
		l.now.Add(20_000)
	}
	l.is("of one that is not followed for long", 2, 131, 130)
	must(t, l.redis.Set(t.Context(), key, "damaged", 0).Err())
	l.is("where nobody knows how far it has come", unknown, unknown, 130)
	if l.queue.Vars()["failed.lag"] == 0 {
		t.Error("that is not counted")
	}
	must(t, l.redis.Set(t.Context(), key, appendMark(nil, w.marks[0]), 0).Err())
	f = follow(t, l.queue, 0, doneAtOnce)
	eventually(t, "the second", func() bool { return len(f.got()) == 1 })
	l.now.Add(failingTime.Milliseconds())
	l.is("of one that is followed again", 0, 0, 0)
}
