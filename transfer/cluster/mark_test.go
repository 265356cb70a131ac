//go:build cluster

package cluster

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/internal/redis/redistest"
	"gannet/internal/registry"
	"gannet/internal/services/servicestest"
	"gannet/transfer"
)

// The mark in Redis follows what is done, while the follower runs, and never passes what
// is not.
func TestMarkFollowsWhatIsDone(t *testing.T) {
	s, q := begun(t)
	w := s.writers[0]
	f := follow(t, q, 0, nil)
	saves := func() uint64 { return q.Vars()["saves"] }
	eventually(t, "the mark of the take-over", func() bool { return saves() == 1 }) // counted a moment after Redis has it
	for i := range 4 {
		w.put(message(0, i, "x"))
	}
	eventually(t, "all", func() bool { return len(f.got()) == 4 })
	is := func(want chain.Mark) func() bool {
		return func() bool {
			mark, found, err := q.state.own(t.Context(), w.queue)
			must(t, err)
			return found && mark == want
		}
	}
	for _, i := range []int{1, 2, 3} {
		f.dones[i]()
	}
	if mark, _, err := q.state.own(t.Context(), w.queue); err != nil || mark.Offset >= w.marks[0].Offset {
		t.Errorf("the mark is %v while the first record is not done (%v)", mark, err)
	}
	f.dones[0]()
	f.dones[0]() // once more does nothing
	eventually(t, "the mark of the last", is(w.marks[3]))
	eventually(t, "a save", func() bool { return saves() > 1 })
	if n := saves() - 1; n != 1 {
		t.Errorf("the mark was kept %d times", n)
	}
	if n := q.Vars()["undone"]; n != 0 {
		t.Errorf("%d records are not done", n)
	}
	w.put(message(0, 4, "x")) // and one that is not done stays before the mark
	eventually(t, "the fifth", func() bool { return len(f.got()) == 5 })
	if err := f.end(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if !is(w.marks[3])() {
		t.Error("the mark passed a record that is not done")
	}
}

// A node that lost a queue without noticing does not set its mark back.
func TestMarkOnlyRises(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		s := state{client: redistest.Client(t, addresses...), name: redistest.Prefix(t, addresses...)}
		queue := chain.Queue{Class: chain.System, Number: 3}
		must(t, s.begin(t.Context(), queue))
		for _, c := range []struct{ save, is int64 }{{5, 5}, {4, 5}, {0, 5}, {6, 6}, {6, 6}, {1 << 40, 1 << 40}, {7, 1 << 40}} {
			must(t, s.save(t.Context(), queue, chain.Mark{Offset: c.save, Writer: uint64(c.save) + 1, Number: 1}, nil))
			must(t, s.begin(t.Context(), queue)) // it is there already
			if m, found, err := s.own(t.Context(), queue); err != nil || !found || m != (chain.Mark{Offset: c.is, Writer: uint64(c.is) + 1, Number: 1}) {
				t.Errorf("after %d it is %v (%v, %v)", c.save, m, found, err)
			}
		}
	})
}

// Where Redis has no mark the follower waits for a confirmed view, begins there, and has
// every gateway hint everybody; the mark is not kept before all have.
func TestMarkThatIsLost(t *testing.T) {
	s, q := begun(t)
	w := s.writers[0]
	for i := range 3 {
		w.put(message(0, i, "before"))
	}
	must(t, q.Forget(t.Context(), 0))
	confirmed := s.redis.HGet(t.Context(), q.state.key(w.queue, "v"), "r").Val()
	must(t, s.redis.HSet(t.Context(), q.state.key(w.queue, "v"), "r", "of another run").Err())
	one, err := s.registry.Register(t.Context(), registry.Node{ID: 71, Role: registry.Gateway})
	must(t, err)
	two, err := s.registry.Register(t.Context(), registry.Node{ID: 72, Role: registry.Gateway})
	must(t, err)
	ended, err := s.registry.Register(t.Context(), registry.Node{ID: 73, Role: registry.Gateway})
	must(t, err)
	s.gateways.answers(func(epoch uint64) error {
		switch epoch {
		case two.Epoch():
			return errors.New("it does not answer")
		case ended.Epoch():
			return transfer.ErrEnded
		}
		return nil
	})

	f := follow(t, q, 0, doneAtOnce)
	eventually(t, "that it waits", func() bool { return q.Vars()["unconfirmed"] > 1 })
	w.put(message(0, 3, "meanwhile"))
	must(t, s.redis.HSet(t.Context(), q.state.key(w.queue, "v"), "r", confirmed).Err())
	eventually(t, "that the first gateway is told", func() bool { return s.gateways.times(one.Epoch()) == 1 })
	w.put(message(0, 4, "after")) // goes out, whether everybody is told or not
	eventually(t, "the record after it", func() bool { return slices.Contains(f.got(), "after") })
	if got := f.got(); slices.Contains(got, "before") {
		t.Errorf("took %q", got)
	}
	eventually(t, "that the second gateway is asked again", func() bool { return q.Vars()["failed.hint"] > 1 })
	if _, found, err := q.state.own(t.Context(), w.queue); found || err != nil {
		t.Errorf("the mark is kept though a gateway has not answered (%v)", err)
	}
	must(t, ignore(f.end(), context.Canceled))
	if _, found, err := q.state.own(t.Context(), w.queue); found || err != nil {
		t.Errorf("the mark is kept by one who ended before a gateway answered (%v)", err)
	}
	told := s.gateways.times(one.Epoch())
	s.gateways.answers(nil)
	f = follow(t, q, 0, doneAtOnce)
	eventually(t, "the mark", func() bool {
		mark, found, err := q.state.own(t.Context(), w.queue)
		must(t, err)
		return found && mark == w.marks[4]
	})
	if n, again := s.gateways.times(two.Epoch()), s.gateways.times(one.Epoch()); n != 1 || again != told+1 {
		t.Errorf("the gateways were told %d and %d times", again-told, n)
	}
	if got := f.got(); len(got) != 0 {
		t.Errorf("took %q from behind the view's mark", got)
	}
}

// Redis goes away, and comes back empty, under a follower that goes on: nothing is lost,
// and its mark is written once more.
func TestRedisThatIsEmptied(t *testing.T) {
	own := servicestest.OwnRedis(t)
	s := newScene(t, 1, own.Address)
	s.node(1)
	q := s.open(1)
	must(t, q.Begin(t.Context(), 0))
	w := s.writers[0]
	f := follow(t, q, 0, doneAtOnce)
	w.put(message(0, 0, "a"))
	eventually(t, "the first", func() bool { return len(f.got()) == 1 })
	own.Kill()
	b := w.append(message(0, 1, "b"))
	eventually(t, "that Redis does not answer", func() bool { return q.Vars()["failed.redis"] > 1 })
	own.Start()
	c := w.append(message(0, 2, "c"))
	w.view.Believe(chain.Beginning, 0) // as its owner finds it
	// The client's pool may say for a second after its return that Redis is away.
	eventually(t, "the view is confirmed", func() bool { return w.view.Confirm(t.Context()) == nil })
	w.forward(b)
	w.forward(c)
	eventually(t, "the others", func() bool { return len(f.got()) == 3 })
	if got := f.got(); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("took %q", got)
	}
	eventually(t, "its mark", func() bool {
		mark, found, err := q.state.own(t.Context(), w.queue)
		return err == nil && found && mark == c
	})
}

// A queue goes to another node and back while it is written: each record is taken by one of
// them at least, in order, and only what was not done twice.
func TestQueueMovesBetweenNodes(t *testing.T) {
	s := newScene(t, 2)
	const first, second = 1, 2
	s.node(first)
	a, b := s.open(first), s.open(second)
	must(t, a.Begin(t.Context(), 0, 1))
	owned := func(node uint64) (n int) {
		for q := range 2 {
			o, ok := registry.Owner(registry.Transfer, registry.Queue{Class: uint8(chain.Chat), Number: uint32(q)}, s.registry.View())
			if ok && o.ID == node {
				n++
			}
		}
		return n
	}
	var takers [2][2]*taker
	for q := range 2 {
		takers[0][q], takers[1][q] = follow(t, a, q, doneAtOnce), follow(t, b, q, doneAtOnce)
	}
	const n = 600
	written := make(chan struct{})
	go func() {
		defer close(written)
		for i := range n {
			for q, w := range s.writers {
				w.put(message(q, i, ""))
			}
		}
	}()
	for range 4 {
		r := s.node(second)
		eventually(t, "that both read what is theirs", func() bool {
			return a.Vars()["queues"] == uint64(owned(first)) && b.Vars()["queues"] == uint64(owned(second))
		})
		must(t, r.SetState(t.Context(), registry.Draining))
		eventually(t, "that the first reads all", func() bool { return a.Vars()["queues"] == 2 && b.Vars()["queues"] == 0 })
		time.Sleep(time.Millisecond)
	}
	<-written
	for q, w := range s.writers {
		seen := map[uint64]bool{}
		eventually(t, "the last record", func() bool {
			for _, node := range takers {
				node[q].mu.Lock()
				for _, m := range node[q].marks {
					seen[m] = true
				}
				node[q].mu.Unlock()
			}
			return seen[uint64(w.marks[n-1].Offset)+1]
		})
		for i, m := range w.marks {
			if !seen[uint64(m.Offset)+1] {
				t.Fatalf("record %d of queue %d came to nobody", i, q)
			}
		}
	}
	if owned(first) != 2 {
		t.Error("the second node owns a queue although it drains")
	}
}

// One question asks for everybody in records that are handed over together.
func TestDirectoryAsksOnce(t *testing.T) {
	s, q := begun(t)
	w := s.writers[0]
	var last chain.Mark
	for i := range 20 {
		last = w.append(message(0, i, "x"))
	}
	w.forward(last)
	eventually(t, "the broker shows them", func() bool {
		records, err := s.stream.Pull(t.Context(), w.queue, last.Offset, 1)
		return err == nil && len(records) == 1
	})
	d := newAsked(t)
	server := transfer.Start(transfer.Config{
		Queue: q, Directory: NewDirectory(d), Gateways: s.gateways, Queues: []int{0}, Parking: q,
	})
	t.Cleanup(server.Stop)
	eventually(t, "all", func() bool { return q.Vars()["records"] == 20 && q.Vars()["undone"] == 0 })
	if n := d.times(); n > 3 {
		t.Errorf("20 records cost %d questions", n)
	}
	if n := server.Stats()["deliveries"]; n != 20*2 {
		t.Errorf("%d deliveries", n)
	}
	record := message(0, 0, "x")
	if err := server.Receipts(t.Context(), &hop.Record{Queue: 0, Entries: record.Entries, Blob: record.Blob}); err != nil {
		t.Error(err) // of no follower: asked by itself
	}
}
