package chain

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

func TestTakeOverReplays(t *testing.T) {
	s := newScene(t)
	w := s.owner(Beginning)
	var marks []Mark
	var want []string
	for i := range 100 {
		marks = append(marks, s.append(w, fmt.Sprint(i)))
		want = append(want, fmt.Sprint(i))
	}
	other := s.owner(marks[29])
	s.want(want[30:]...)
	if other.Last().Offset != 102 { // 101 was void, since it came before the replay
		t.Errorf("the queue was taken at %v", other.Last())
	}
	s.append(other, "x")
	var back []string
	err := Back(t.Context(), s, chat7, other.Last(), func(r *Record) bool {
		s.took = append(s.took, *r)
		back = append(back, s.texts()...)
		return len(back) < 4
	})
	if err != nil || fmt.Sprint(back) != "[x empty 99 98]" {
		t.Errorf("backwards there are %v (%v)", back, err)
	}
}

func TestTakeOverOfAnIdleQueue(t *testing.T) {
	s := newScene(t)
	before := s.owner(Beginning)
	var last Mark
	for range 10 {
		last = s.append(before, "x")
	}
	pulls := s.pulls
	if w := s.owner(last); w.Last().Offset != last.Offset+1 || s.pulls != pulls+1 {
		t.Errorf("with nothing to replay it takes until %v, and %d pulls", w.Last(), s.pulls-pulls)
	}
	s.want()
}

// TestTakeOverMeetsSends: as long as records of the old owner come between, the queue is
// not taken.
func TestTakeOverMeetsSends(t *testing.T) {
	s := newScene(t)
	w := s.owner(Beginning)
	busy := 3
	s.before = func(Queue, []byte) error {
		if busy--; busy >= 0 {
			hook := s.before
			s.before = nil
			s.append(w, fmt.Sprint(busy))
			s.before = hook
		}
		return nil
	}
	other := s.owner(w.Last())
	s.want("2", "1", "0")
	if other.Last().Offset != 7 || other.number != 1 {
		t.Errorf("the queue was taken at %v", other.Last())
	}
}

// TestOldView: who has lost a queue waits until it knows why.
func TestOldView(t *testing.T) {
	s := newScene(t)
	w := s.owner(Beginning)
	s.registry = 3
	last := s.append(s.owner(Beginning), "x")
	s.registry = 2
	if _, err := w.Append(t.Context(), entries("late")); !errors.Is(err, ErrMoved) {
		t.Fatal(err)
	}
	for name, w := range map[string]*Writer{"the loser": w, "another from the beginning": s.writer(Beginning), "another from the mark": s.writer(last)} {
		before := len(s.queues[chat7])
		_, err := w.TakeOver(t.Context())
		var old *OldViewError
		if !errors.As(err, &old) || old.Ours != 2 || old.Theirs != 3 || w.Taken() {
			t.Errorf("%s: TakeOver says %v", name, err)
		}
		if added := len(s.queues[chat7]) - before; name != "another from the beginning" && added != 0 {
			t.Errorf("%s wrote %d records", name, added)
		}
	}
	s.registry = 3
	s.takeOver(w)
	s.append(w, "again")
}

func TestBehindRetention(t *testing.T) {
	s := newScene(t)
	w := s.owner(Beginning)
	old := s.append(w, "old")
	last := s.append(w, "new")
	s.first[chat7] = last.Offset
	for _, mark := range []Mark{Beginning, old} {
		if _, err := s.writer(mark).TakeOver(t.Context()); !errors.Is(err, ErrRetention) {
			t.Errorf("from %v TakeOver says %v", mark, err)
		}
	}
	if len(s.queues[chat7]) != 3 {
		t.Error("and it wrote")
	}
	s.owner(last)
	visits := 0
	if err := Back(t.Context(), s, chat7, w.Last(), func(*Record) bool { visits++; return true }); err != nil || visits != 1 {
		t.Errorf("backwards there are %d records (%v)", visits, err)
	}
}

// TestTakeFails: what a ledger could not take in is not built on.
func TestTakeFails(t *testing.T) {
	s := newScene(t)
	s.append(s.owner(Beginning), "x")
	w := s.writer(Beginning)
	broken := errors.New("broken")
	w.options.Take = func(*Record) error {
		w.options.Take = func(*Record) error { return nil }
		return broken
	}
	for range 2 {
		if _, err := w.TakeOver(t.Context()); !errors.Is(err, broken) || w.Taken() {
			t.Errorf("TakeOver says %v", err)
		}
	}
}

// TestReadAgain: a reader that goes back reads the same once more, counts nothing twice, and
// notices that the record it goes back to is gone.
func TestReadAgain(t *testing.T) {
	s := newScene(t)
	w := s.owner(Beginning)
	marks := []Mark{s.append(w, "a"), s.append(w, "b")}
	s.put(chat7, record(Mark{0, 5, 5}, 3, 3)) // void
	marks = append(marks, s.append(w, "c"))
	r := NewReader(s, chat7, Beginning)
	read := func() (at []Mark, err error) {
		_, end, err := s.Bounds(t.Context(), chat7)
		if err != nil {
			t.Fatal(err)
		}
		err = r.ReadTo(t.Context(), end, func(r *Record) error {
			if r.Kind == Entries {
				at = append(at, r.Mark)
			}
			return nil
		})
		return at, err
	}
	if got, err := read(); err != nil || !slices.Equal(got, marks) {
		t.Fatalf("it reads %v, %v", got, err)
	}
	seen := [...]uint64{r.Seen(Counts), r.Seen(Stale)}
	marks = append(marks, s.append(w, "d"))
	r.Again(marks[0])
	if got, err := read(); err != nil || !slices.Equal(got, marks[1:]) {
		t.Errorf("again it reads %v, %v", got, err)
	}
	if now := [...]uint64{r.Seen(Counts), r.Seen(Stale)}; now != [...]uint64{seen[0] + 1, seen[1]} || seen[1] != 1 {
		t.Errorf("first it counted %v, then %v", seen, now)
	}
	s.cut(chat7, marks[1].Offset)
	s.put(chat7, record(marks[0], 9, 1))
	r.Again(marks[1])
	if got, err := read(); !errors.Is(err, ErrLost) {
		t.Errorf("where the record is another it reads %v, %v", got, err)
	}
}
