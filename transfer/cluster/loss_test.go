//go:build cluster

package cluster

import (
	"errors"
	"slices"
	"testing"

	"gannet/internal/chain"
	"gannet/internal/chain/chaintest"
	"gannet/internal/registry"
)

// TestFollowsPastALoss: a follower whose mark is lost and one whose mark lies before go on
// behind what was given up, when everybody was hinted. Their marks are in Redis.
func TestFollowsPastALoss(t *testing.T) {
	s, q := begun(t)
	w := s.writers[0]
	gateway, err := s.registry.Register(t.Context(), registry.Node{ID: 71, Role: registry.Gateway})
	must(t, err)
	before := w.append(message(0, 0, "before"))
	w.forward(before)
	// What named anything behind it is lost.
	gone := chain.Mark{Offset: before.Offset + 3, Writer: 5, Number: 5}
	g := &chain.GivenUp{Queue: w.queue, Writer: 99, Registry: 1, Time: 1, Through: before.Offset + 9}
	must(t, g.Write(t.Context(), s.stream, func(int64) {}))
	w.forward(g.Mark())
	for i, from := range []chain.Mark{gone, before} {
		must(t, q.Forget(t.Context(), 0))
		must(t, q.state.save(t.Context(), w.queue, from, nil))
		s.gateways.answers(func(uint64) error { return errors.New("it does not answer") })
		f := follow(t, q, 0, doneAtOnce)
		eventually(t, "that a gateway is asked", func() bool { return q.Vars()["given_up.losses"] == uint64(i+1) && q.Vars()["failed.hint"] > 0 })
		if mark, _, err := q.state.own(t.Context(), w.queue); err != nil || mark.Offset >= g.Through {
			t.Errorf("from %v the mark is kept though a gateway has not answered: %v, %v", from, mark, err)
		}
		s.gateways.answers(nil)
		eventually(t, "transfer's mark is that of the loss", func() bool {
			mark, found, err := q.state.own(t.Context(), w.queue)
			return err == nil && found && mark == g.Mark()
		})
		if n := s.gateways.times(gateway.Epoch()); n != i+1 {
			t.Errorf("from %v the gateway was told %d times", from, n)
		}
		f.end()
	}
}

// TestNothingBuiltOnWhatIsLostIsTaken: a record that names one that is lost, and comes to lie
// where a follower that has read that one goes on, is not taken.
func TestNothingBuiltOnWhatIsLostIsTaken(t *testing.T) {
	s, q := begun(t)
	m := chaintest.NewMemory()
	q.stream = m
	w := s.writers[0]
	must(t, w.view.Adopt(t.Context(), w.view.Mark(), false))
	w.chain = chain.NewWriter(chain.Options{
		Stream: m, Queue: w.queue, Registry: func() uint64 { return 1 }, Take: func(*chain.Record) error { return nil },
	}, chain.Beginning)
	_, err := w.chain.TakeOver(t.Context())
	must(t, err)
	for i, body := range []string{"one", "two", "lost"} {
		w.append(message(0, i, body))
	}
	w.forward(w.chain.Last())
	f := follow(t, q, 0, doneAtOnce)
	eventually(t, "all are taken", func() bool { return len(f.got()) == 3 })

	empty := q.Vars()["empty"]
	lost := w.chain.Last()
	m.Cut(w.queue, lost.Offset)
	g := &chain.GivenUp{Queue: w.queue, Writer: 99, Registry: 1, Time: 1, Through: lost.Offset + 5}
	w.forward(g.Mark())
	loss := chain.Head{Kind: chain.Loss, Queue: w.queue, Prev: chain.Beginning, Writer: 99, Number: 1, Through: g.Through}
	m.Put(w.queue, loss.Append(nil, nil))
	stray := chain.Head{Kind: chain.Entries, Queue: w.queue, Prev: lost, Writer: lost.Writer, Number: lost.Number + 1}
	m.Put(w.queue, stray.Append(nil, message(0, 4, "stray").AppendEntries(nil)))
	eventually(t, "the loss is taken", func() bool { return q.Vars()["empty"] > empty })
	must(t, g.Write(t.Context(), m, func(int64) {}))
	eventually(t, "transfer's mark is that of the loss", func() bool {
		mark, found, err := q.state.own(t.Context(), w.queue)
		return err == nil && found && mark == g.Mark()
	})
	if all := f.got(); !slices.Equal(all, []string{"one", "two", "lost"}) {
		t.Errorf("it took %q", all)
	}
}
