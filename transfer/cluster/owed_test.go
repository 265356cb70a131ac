//go:build cluster

package cluster

import (
	"errors"
	"slices"
	"testing"

	"gannet/internal/chain"
)

// A hint that a gateway is owed for what is done is given by whoever follows the queue next,
// also when that one ends before the gateway answers, and is forgotten once it was given. It is kept in Redis.
func TestOwedHintsOutliveTheirProcess(t *testing.T) {
	s, first := begun(t)
	w := s.writers[0]
	owing := func(want ...uint64) func() bool {
		return func() bool {
			got, err := first.state.owing(t.Context(), w.queue)
			must(t, err)
			return slices.Equal(got, want)
		}
	}
	f := follow(t, first, 0, doneAtOnce)
	w.put(message(0, 0, "a"))
	eventually(t, "the record", func() bool { return len(f.got()) == 1 })
	first.Owes(70, true)
	first.Owes(71, true)
	first.Owes(70, true)
	eventually(t, "both are kept", owing(70, 71))
	first.Owes(71, false)
	eventually(t, "one is kept", owing(70))
	f.end()

	s.gateways.answers(func(uint64) error { return errors.New("cut off") })
	f = follow(t, s.open(1), 0, doneAtOnce)
	w.put(message(0, 1, "b"))
	eventually(t, "the second record is kept", func() bool {
		mark, _, err := first.state.own(t.Context(), w.queue)
		must(t, err)
		return mark == w.marks[1]
	})
	f.end()
	if n := s.gateways.times(70); n != 0 || !owing(70)() {
		t.Fatalf("a gateway that cannot be reached was hinted %d times, or is owed nothing any more", n)
	}

	s.gateways.answers(nil)
	follow(t, s.open(1), 0, doneAtOnce)
	eventually(t, "the hint", func() bool { return s.gateways.times(70) == 1 })
	eventually(t, "nothing is owed", owing())
	if n := s.gateways.times(71); n != 0 {
		t.Errorf("one that was owed nothing was hinted %d times", n)
	}
}

// What an earlier program wrote owes nothing, and what is cut off is left.
func TestReadOwed(t *testing.T) {
	mark := appendMark(nil, chain.Mark{Offset: 5, Writer: 6, Number: 7})
	whole := appendOwed(slices.Clone(mark), []uint64{1, 1 << 60})
	for _, c := range []struct {
		value string
		want  []uint64
	}{
		{"", nil}, {string(mark), nil}, {string(whole), []uint64{1, 1 << 60}}, {string(whole[:len(whole)-1]), []uint64{1}},
		{string(whole) + "what a later program adds", []uint64{1, 1 << 60}},
	} {
		if got := readOwed(c.value); !slices.Equal(got, c.want) {
			t.Errorf("%x owes %v, want %v", c.value, got, c.want)
		}
		if m, err := readMark(c.value); err != nil || c.value != "" && m.Offset != 5 {
			t.Errorf("%x is the mark %v, %v", c.value, m, err)
		}
	}
	if got := readOwed(string(appendOwed(mark, make([]uint64, mostOwed+1)))); len(got) != mostOwed {
		t.Errorf("%d are kept, want %d", len(got), mostOwed)
	}
}
