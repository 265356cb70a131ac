//go:build cluster

package command

import (
	"strings"
	"testing"

	"gannet/internal/chain"
)

// Where others lie at the place of records that were lost, and an owner has built on the lost
// ones, ClickHouse cannot be fed from its mark: that is a loss like others, and given up, with
// its mark behind it.
func TestMendWhatIsTorn(t *testing.T) {
	m, broker, writers, said, _ := mended(t)
	queue := chain.Queue{Class: chain.Chat, Number: 0}
	var marks []chain.Mark
	err := chain.NewReader(broker, queue, chain.Beginning).ReadTo(t.Context(), 10, func(r *chain.Record) error {
		marks = append(marks, r.Mark)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	broker.Cut(queue, 5)
	for range 5 {
		broker.Put(queue, []byte("no record"))
	}
	last := chain.Head{Kind: chain.Empty, Queue: queue, Prev: marks[9], Writer: marks[9].Writer, Number: marks[9].Number + 1}
	built := chain.Mark{Offset: broker.Put(queue, last.Append(nil, nil)), Writer: last.Writer, Number: last.Number}
	writers[0].Believe(built, 1)
	if err := writers[0].Adopt(t.Context(), state(t, writers[0]).Mark, false); err != nil {
		t.Fatal(err)
	}
	store := ownHistory(t)
	if err := store.SetMark(t.Context(), queue, marks[3], marks[3]); err != nil {
		t.Fatal(err)
	}
	m.history, m.away, m.accept = store, nil, true
	if err := m.mend(t.Context(), queue); err != nil || len(m.losses) != 1 {
		t.Fatal(len(m.losses), err)
	}
	if !strings.Contains(said.String(), "chat queue 0: other records lie in place of those that are lost") {
		t.Errorf("it says %q", said)
	}
	if err := m.giveUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := state(t, writers[0])
	if _, certain, _, err := store.Marks(t.Context(), queue); err != nil || !s.Mark.Given() || certain != s.Mark {
		t.Errorf("the view is at %v, ClickHouse at %v, %v", s.Mark, certain, err)
	}
	m.losses = nil
	if err := m.mend(t.Context(), queue); err != nil || len(m.losses) != 0 {
		t.Errorf("afterwards it finds %d losses, %v", len(m.losses), err)
	}
}
