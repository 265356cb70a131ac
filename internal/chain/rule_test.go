package chain

import (
	"errors"
	"slices"
	"testing"
)

// record makes the bytes of a record of chat queue 7.
func record(prev Mark, writer, number uint64) []byte {
	kind, body := Entries, entries("x")
	if number == 1 {
		kind, body = Empty, nil
	}
	h := Head{Kind: kind, Queue: chat7, Prev: prev, Writer: writer, Number: number}
	return h.Append(nil, body)
}

func TestRule(t *testing.T) {
	elsewhere := Head{Kind: Entries, Queue: Queue{System, 7}, Prev: Mark{3, 1, 2}, Writer: 9, Number: 9}
	f := NewFollower(chat7, Beginning)
	for i, c := range []struct {
		record []byte
		why    Reason
	}{
		{[]byte("of somebody else"), Broken},
		{record(Mark{0, 1, 1}, 1, 1), Foreign},
		{record(Beginning, 1, 1), Counts}, // at 2
		{record(Mark{2, 1, 1}, 1, 2), Counts},
		{record(Mark{2, 1, 1}, 1, 2), Stale}, // the same twice
		{record(Beginning, 2, 1), Stale},
		{elsewhere.Append(nil, entries("x")), Other},
		{record(Mark{3, 1, 1}, 3, 1), Foreign},  // another number
		{record(Mark{3, 2, 2}, 3, 1), Foreign},  // another writer
		{record(Mark{4, 1, 2}, 3, 1), Foreign},  // another offset
		{record(Mark{99, 1, 2}, 3, 7), Foreign}, // what does not exist
		{record(Mark{3, 1, 2}, 3, 1), Counts},
		{record(Mark{3, 1, 2}, 1, 3), Stale},
	} {
		r, why, err := f.Feed(int64(i), c.record)
		if why != c.why || err != nil {
			t.Fatalf("offset %d: %v (%v), want %v", i, why, err, c.why)
		}
		if why == Counts && (r.Mark != f.Last() || r.Mark.Offset != int64(i) || r.Queue != chat7) {
			t.Errorf("offset %d comes as %+v, the last one is %v", i, r, f.Last())
		}
	}
	if f.Last() != (Mark{11, 3, 1}) || f.Next() != 13 {
		t.Errorf("ends at %v and %d", f.Last(), f.Next())
	}
	want := [reasons]uint64{Counts: 3, Stale: 3, Foreign: 5, Broken: 1, Other: 1}
	for why, n := range want {
		if got := f.Seen(Reason(why)); got != n {
			t.Errorf("%v was seen %d times, want %d", Reason(why), got, n)
		}
	}
}

func TestFollowerLooksForItsMark(t *testing.T) {
	mark := Mark{3, 1, 2}
	for name, c := range map[string]struct {
		record []byte
		good   bool
	}{
		"the mark":       {record(Mark{1, 5, 5}, 1, 2), true},
		"another number": {record(Mark{1, 5, 5}, 1, 3), false},
		"another writer": {record(Mark{1, 5, 5}, 2, 2), false},
		"no record":      {[]byte("no record"), false},
	} {
		f := NewFollower(chat7, mark)
		_, why, err := f.Feed(3, c.record)
		if c.good != (err == nil) || !c.good && !errors.Is(err, ErrLost) || c.good && (why != Known || f.Next() != 4) {
			t.Errorf("%s: %v, %v", name, why, err)
		}
	}
	g := NewFollower(Queue{System, 7}, mark)
	if _, _, err := g.Feed(3, record(Mark{1, 5, 5}, 1, 2)); !errors.Is(err, ErrLost) {
		t.Errorf("the mark in another queue: %v, want ErrLost", err)
	}
}

func TestFollowerStops(t *testing.T) {
	for name, c := range map[string]struct {
		offset int64
		record []byte
		want   error
	}{
		"a hole":              {2, record(Mark{0, 1, 1}, 1, 2), ErrLost},
		"an offset again":     {0, record(Mark{0, 1, 1}, 1, 2), ErrLost},
		"a later version":     {1, seal(append(slices.Clone(record(Mark{0, 1, 1}, 1, 2)[:8]), 2, 0, 0)), ErrLater},
		"its end is replaced": {1, record(Mark{0, 2, 1}, 2, 2), ErrTorn},
	} {
		f := NewFollower(chat7, Beginning)
		if _, why, err := f.Feed(0, record(Beginning, 1, 1)); why != Counts || err != nil {
			t.Fatal(why, err)
		}
		if _, _, err := f.Feed(c.offset, c.record); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// TestTornEnd: who took in a record that a power cut replaced cannot go on for long
// without noticing, whichever records come first.
func TestTornEnd(t *testing.T) {
	f := NewFollower(chat7, Beginning)
	for offset, b := range [][]byte{record(Beginning, 1, 1), record(Mark{0, 1, 1}, 1, 2)} {
		if _, _, err := f.Feed(int64(offset), b); err != nil {
			t.Fatal(err)
		}
	}
	// Offset 1 has become the take-over of writer 2, which dies; 3 takes over and goes on.
	if _, why, err := f.Feed(2, record(Mark{1, 2, 1}, 3, 1)); why != Foreign || err != nil {
		t.Fatalf("the first record of a writer gives %v, %v", why, err)
	}
	if _, _, err := f.Feed(3, record(Mark{2, 3, 1}, 3, 2)); !errors.Is(err, ErrTorn) {
		t.Errorf("its second one gives %v, want ErrTorn", err)
	}
}
