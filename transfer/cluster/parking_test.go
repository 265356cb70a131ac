//go:build cluster

package cluster

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/internal/operate"
	"gannet/internal/services/servicestest"
	"gannet/protocol"
	"gannet/transfer"
	"gannet/transfer/cluster/parked"
)

// pushed is gateways that note what connections get.
type pushed struct {
	mu     sync.Mutex
	bodies []string
}

func (g *pushed) Push(_ context.Context, _ uint64, pushes []*hop.Push, done func([]uint64, error)) {
	g.mu.Lock()
	for _, push := range pushes {
		for i := range push.Len() {
			f, _, err := protocol.Split(push.Bytes(i), protocol.MaxFrame)
			var m protocol.Message
			if err == nil && m.Decode(f.Payload) == nil {
				g.bodies = append(g.bodies, string(m.Body))
			}
		}
	}
	g.mu.Unlock()
	done(nil, nil)
}

func (g *pushed) got() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.bodies)
}

// unroutable is a message with a frame of a type of the future, which a newer program may
// know.
func unroutable(n int) *hop.Record {
	r := message(0, n, "to be parked")
	r.Entries[0].Op = 99
	return r
}

// A record that cannot be handled is parked while its queue goes on, and can be listed.
func TestParks(t *testing.T) {
	s, q := begun(t)
	w := s.writers[0]
	g := &pushed{}
	server := transfer.Start(transfer.Config{Queue: q, Directory: newAsked(t), Gateways: g, Queues: []int{0}, Parking: q, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(server.Stop)
	w.put(message(0, 0, "a"))
	w.put(unroutable(1))
	w.now = w.now.Add(1)
	mark, err := w.chain.Append(t.Context(), []byte("these are no entries"))
	must(t, err)
	w.forward(mark)
	w.put(message(0, 2, "b"))
	eventually(t, "the mark behind all", func() bool {
		m, _, err := q.state.own(t.Context(), w.queue)
		must(t, err)
		return m == w.chain.Last()
	})
	if got := g.got(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("the connections got %q", got)
	}
	list, _, err := q.parking.List(t.Context(), w.queue)
	must(t, err)
	if len(list) != 2 || list[0].Mark != w.marks[1] || list[0].Reason != "unreadable op" || list[0].Tries != 1 ||
		list[1].Mark != mark || list[1].Reason != "unreadable record" || string(list[1].Body) != "these are no entries" || list[1].Parked.IsZero() {
		t.Errorf("parked are %+v", list)
	}
	var r hop.Record
	if err := list[0].Hop(&r); err != nil || r.Entries[0].Op != 99 || r.Mark != uint64(w.marks[1].Offset)+1 || r.Time != 1_700_000_000_001 {
		t.Errorf("the record is %+v (%v)", r, err)
	}
	if n := q.Vars()["parked"]; n != 2 {
		t.Errorf("%d were counted", n)
	}
	if gauges := q.Gauges(t.Context()); !slices.Contains(gauges, operate.OfQueue{Gauge: operate.TransferParked, Class: "chat", Queue: 0, Value: 2}) {
		t.Errorf("the gauges are %+v", gauges)
	}
}

// While Redis does not take a record that is to be parked, the mark stays before it and
// the queue goes on; the next follower gets it again.
func TestParkingWaitsForRedis(t *testing.T) {
	own := servicestest.OwnRedis(t, "--appendonly", "yes", "--appendfsync", "always", "--save", "")
	s := newScene(t, 1, own.Address)
	s.node(1)
	q := s.open(1)
	must(t, q.Begin(t.Context(), 0))
	w := s.writers[0]
	w.put(message(0, 0, "a"))
	w.put(message(0, 1, "bad"))
	w.put(message(0, 2, "b"))
	hold := make(chan struct{})
	f := follow(t, q, 0, func(r *hop.Record, done func()) {
		if bodyOf(r) == "bad" {
			<-hold
			q.Park(0, r.Mark, "for a reason")
			q.Park(0, r.Mark, "for another")
		}
		done()
	})
	eventually(t, "the bad one", func() bool { return slices.Contains(f.got(), "bad") })
	own.Kill()
	close(hold)
	eventually(t, "what is behind it", func() bool { return slices.Contains(f.got(), "b") })
	eventually(t, "that it cannot be kept", func() bool { return q.Vars()["failed.save"] > 0 })
	if n := q.Vars()["undone"]; n != 2 {
		t.Errorf("%d records are not done, while the first of two is to be parked", n)
	}
	own.Start()
	eventually(t, "the mark", func() bool {
		m, _, err := q.state.own(t.Context(), w.queue)
		return err == nil && m == w.marks[2]
	})
	list, _, err := q.parking.List(t.Context(), w.queue)
	must(t, err)
	if len(list) != 1 || list[0].Mark != w.marks[1] || list[0].Reason != "for a reason" {
		t.Errorf("parked are %+v", list)
	}
}

// What is parked is handled once more by whoever asks for it, beside those who read the
// queues: what goes well then is removed.
func TestReplay(t *testing.T) {
	s, q := begun(t)
	w := s.writers[0]
	store := parked.New(s.redis, s.name)
	for i, r := range []*hop.Record{message(0, 0, "a"), unroutable(1), message(0, 2, "b")} {
		kept, err := store.Park(t.Context(), &parked.Record{
			Queue: w.queue, Mark: chain.Mark{Offset: int64(i), Writer: 1, Number: uint64(i) + 1}, Time: r.Time, Tries: 3, Reason: "panic", Body: r.AppendEntries(nil),
		})
		if err != nil || !kept {
			t.Fatal(kept, err)
		}
	}
	g := &pushed{}
	replay := store.Replay(chain.Chat, 1)
	server := transfer.Start(transfer.Config{Queue: replay, Directory: newAsked(t), Gateways: g, Queues: []int{0}, Parking: replay, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(server.Stop)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	outcome, err := replay.Wait(ctx)
	if err != nil || outcome.Err != nil || outcome.Handled != 2 || len(outcome.Again) != 1 {
		t.Fatalf("the outcome is %+v, %v", outcome, err)
	}
	if got := g.got(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("the connections got %q", got)
	}
	list, _, err := store.List(t.Context(), w.queue)
	must(t, err)
	if len(list) != 1 || list[0].Tries != 4 || list[0].Reason != "unreadable op" || list[0].Mark.Offset != 1 {
		t.Errorf("parked are %+v", list)
	}
	if _, found, err := q.state.own(t.Context(), w.queue); err != nil || !found {
		t.Errorf("the queue's own mark is there: %v, %v", found, err)
	}
}

// What ends because a gateway is owed a hint stays parked: whoever retries does not live to give
// the hint.
func TestReplayForAGatewayThatTakesNothing(t *testing.T) {
	s, _ := begun(t)
	w := s.writers[0]
	store := parked.New(s.redis, s.name)
	for i := range 2 {
		_, err := store.Park(t.Context(), &parked.Record{
			Queue: w.queue, Mark: chain.Mark{Offset: int64(i), Writer: 1, Number: 1}, Time: 1, Tries: 1, Reason: "panic", Body: message(0, i, "a").AppendEntries(nil),
		})
		must(t, err)
	}
	replay := store.Replay(chain.Chat, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() {
		n := 0
		_ = replay.Follow(ctx, 0, func(_ context.Context, _ *hop.Record, done func()) {
			if n++; n == 1 {
				replay.Owes(7, true)
			} else {
				eventually(t, "the first is parked again", func() bool {
					list, _, err := store.List(ctx, w.queue)
					return err == nil && len(list) > 0 && list[0].Tries == 2
				})
				replay.Owes(7, false)
			}
			done()
		})
	}()
	outcome, err := replay.Wait(ctx)
	if err != nil || outcome.Err != nil || outcome.Handled != 1 || len(outcome.Again) != 1 || outcome.Again[0].Mark.Offset != 0 {
		t.Errorf("the outcome is %+v, %v", outcome, err)
	}
	if list, _, err := store.List(t.Context(), w.queue); err != nil || len(list) != 1 || list[0].Tries != 2 {
		t.Errorf("parked are %+v, %v", list, err)
	}
}

// Follow of a queue that has a follower in the process says so.
func TestOneFollower(t *testing.T) {
	s, q := begun(t)
	follow(t, q, 0, doneAtOnce)
	eventually(t, "the first", func() bool { return q.Vars()["queues"] == 1 })
	if err := follow(t, q, 0, doneAtOnce).over(); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("the second ended with %v", err)
	}
	s.writers[0].put(message(0, 0, "a"))
}
