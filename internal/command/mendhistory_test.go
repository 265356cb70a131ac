//go:build cluster

package command

import (
	"errors"
	"strings"
	"testing"

	"gannet/internal/chain"
)

// Where ClickHouse has had more of a queue than Redis, which came back older too, nobody knows
// which places were given to messages: nothing is given up, and nothing changed.
func TestMendRefusesWhereRedisIsOlderToo(t *testing.T) {
	m, broker, writers, said, _ := mended(t)
	queue := chain.Queue{Class: chain.Chat, Number: 0}
	store := ownHistory(t)
	if err := store.SetMark(t.Context(), queue, chain.Mark{Offset: 9, Writer: 5, Number: 10}, chain.Mark{Offset: 9, Writer: 5, Number: 10}); err != nil {
		t.Fatal(err)
	}
	m.history, m.away, m.accept = store, nil, true
	broker.Cut(queue, 5)
	before := state(t, writers[0])
	if before.Mark.Offset >= 9 {
		t.Fatalf("the view is at %v", before.Mark)
	}
	if err := m.mend(t.Context(), queue); err != nil || len(m.losses) != 1 {
		t.Fatal(len(m.losses), err)
	}
	if err := m.giveUp(t.Context()); err == nil || !strings.Contains(err.Error(), "ClickHouse has the queue up to offset 9, and Redis up to") {
		t.Errorf("it ends with %v", err)
	}
	if after := state(t, writers[0]); after != before || len(broker.All(queue)) != 5 {
		t.Errorf("the view went from %+v to %+v, and the broker has %d records", before, after, len(broker.All(queue)))
	}
	if got := said.String(); !strings.Contains(got, "ClickHouse up to 9") {
		t.Errorf("it says %q", got)
	}
}

// Where somebody else's record came to lie at the place of a mark of ClickHouse, that mark is
// moved; the one from which it is fed again, should it be started anew before it has synced,
// never to behind the loss.
func TestMendLeavesClickHouseAMargin(t *testing.T) {
	for name, c := range map[string]struct {
		beside          int // foreign records behind those that are left, at the offsets 5 and on
		has, safe       int
		moved, fromSafe bool
	}{
		"its mark lies beside":        {beside: 4, has: 7, safe: 3, moved: true, fromSafe: true},
		"both lie beside":             {beside: 4, has: 7, safe: 6, moved: true},
		"the one behind it alone":     {beside: 2, has: 8, safe: 6},
		"neither, and both were lost": {beside: 0, has: 8, safe: 6, fromSafe: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits for what is lost and for those who write
			m, broker, writers, _, _ := mended(t)
			queue := chain.Queue{Class: chain.Chat, Number: 0}
			at := func(offset int) chain.Mark {
				var h chain.Head
				if _, err := h.Decode(broker.All(queue)[offset]); err != nil {
					t.Fatal(err)
				}
				return chain.Mark{Offset: int64(offset), Writer: h.Writer, Number: h.Number}
			}
			store := ownHistory(t)
			has, safe := at(c.has), at(c.safe)
			if err := errors.Join(store.SetMark(t.Context(), queue, has, safe), writers[0].Forward(t.Context(), at(9), nil)); err != nil {
				t.Fatal(err)
			}
			m.history, m.away, m.accept = store, nil, true
			broker.Cut(queue, 5)
			for range c.beside {
				broker.Put(queue, []byte("of somebody else"))
			}
			if err := m.mend(t.Context(), queue); err != nil || len(m.losses) != 1 {
				t.Fatal(len(m.losses), err)
			}
			if err := m.giveUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			if c.moved {
				has = state(t, writers[0]).Mark
			}
			if !c.fromSafe {
				safe = chain.Beginning
			}
			if _, certain, kept, err := store.Marks(t.Context(), queue); err != nil || certain != has || kept != safe {
				t.Errorf("ClickHouse has it up to %v, and up to %v when it is started anew, %v; want %v and %v", certain, kept, err, has, safe)
			}
			for _, mark := range []chain.Mark{has, safe} {
				err := chain.NewReader(broker, queue, mark).ReadTo(t.Context(), int64(len(broker.All(queue))), func(*chain.Record) error { return nil })
				if err != nil {
					t.Errorf("nobody can read on from %v: %v", mark, err)
				}
			}
		})
	}
}
