package chain

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
)

// lossRecord makes the bytes of a Loss of chat queue 7.
func lossRecord(through int64) []byte {
	h := Head{Kind: Loss, Queue: chat7, Prev: Beginning, Writer: 99, Number: 1, Through: through}
	return h.Append(nil, nil)
}

// TestLossInTheRule: a Loss counts for whoever comes from below its Through, also where its
// mark is lost, and for nobody else, and what follows builds on it.
func TestLossInTheRule(t *testing.T) {
	elsewhere := Head{Kind: Loss, Queue: Queue{System, 7}, Prev: Beginning, Writer: 99, Number: 1, Through: 9}
	for name, c := range map[string]struct {
		mark    Mark
		offset  int64
		records [][]byte
		want    []Reason
		err     error
	}{
		"from before":          {Beginning, 0, [][]byte{record(Beginning, 1, 1), lossRecord(2), lossRecord(2), lossRecord(2), record(Mark{2, 99, 1}, 2, 1)}, []Reason{Counts, Counts, Counts, Stale, Counts}, nil},
		"from what is lost":    {Mark{1, 5, 5}, 1, [][]byte{lossRecord(2), lossRecord(2), record(Mark{2, 99, 1}, 2, 1)}, []Reason{Counts, Counts, Counts}, nil},
		"from the loss":        {Mark{1, 99, 1}, 1, [][]byte{lossRecord(2), lossRecord(2), lossRecord(2)}, []Reason{Known, Counts, Stale}, nil},
		"from its end":         {Mark{2, 99, 1}, 2, [][]byte{lossRecord(2), lossRecord(2), record(Mark{2, 99, 1}, 2, 1)}, []Reason{Known, Stale, Counts}, nil},
		"late":                 {Beginning, 0, [][]byte{record(Beginning, 1, 1), record(Mark{0, 1, 1}, 1, 2), lossRecord(1), record(Mark{1, 1, 2}, 1, 3)}, []Reason{Counts, Counts, Stale, Counts}, nil},
		"what built on it":     {Beginning, 0, [][]byte{record(Beginning, 1, 1), lossRecord(1), record(Mark{0, 1, 1}, 1, 2)}, []Reason{Counts, Counts, Stale}, nil},
		"on what is lost":      {Mark{1, 5, 5}, 1, [][]byte{lossRecord(2), record(Mark{1, 5, 5}, 5, 6), lossRecord(2), record(Mark{3, 99, 1}, 2, 1)}, []Reason{Counts, Stale, Counts, Counts}, nil},
		"on it from the loss":  {Mark{1, 99, 1}, 1, [][]byte{lossRecord(3), record(Mark{1, 5, 5}, 5, 6), lossRecord(3)}, []Reason{Known, Stale, Counts}, nil},
		"of another queue":     {Beginning, 0, [][]byte{record(Beginning, 1, 1), elsewhere.Append(nil, nil)}, []Reason{Counts, Other}, nil},
		"not for a mark above": {Mark{2, 5, 5}, 2, [][]byte{lossRecord(2)}, nil, ErrLost},
		"elsewhere for a mark": {Mark{2, 5, 5}, 2, [][]byte{elsewhere.Append(nil, nil)}, nil, ErrLost},
	} {
		f := NewFollower(chat7, c.mark)
		var got []Reason
		var err error
		for i, b := range c.records {
			r, why, failed := f.Feed(c.offset+int64(i), b)
			if err = failed; err != nil {
				break
			}
			if why == Counts && (r.Mark != f.Last() || r.Mark.Offset != c.offset+int64(i) || r.Kind == Loss && len(r.Body) > 0) {
				t.Errorf("%s: record %d comes as %+v", name, i, r)
			}
			got = append(got, why)
		}
		if !slices.Equal(got, c.want) || !errors.Is(err, c.err) {
			t.Errorf("%s: %v, %v; want %v, %v", name, got, err, c.want, c.err)
		}
	}
}

// TestLossIsARecordOfItsOwn: what is no whole Loss is no record, and the kind that is
// reserved is still one of a later program.
func TestLossIsARecordOfItsOwn(t *testing.T) {
	var h Head
	if body, err := h.Decode(lossRecord(7)); err != nil || len(body) > 0 || h.Kind != Loss || h.Through != 7 {
		t.Errorf("it is read as %+v, %v", h, err)
	}
	for name, c := range map[string]struct {
		head Head
		body []byte
		want error
	}{
		"through nothing": {Head{Kind: Loss, Queue: chat7, Prev: Beginning, Writer: 9, Number: 1, Through: -1}, nil, ErrBroken},
		"with more":       {Head{Kind: Loss, Queue: chat7, Prev: Beginning, Writer: 9, Number: 1, Through: 5}, []byte("x"), ErrBroken},
		"with a record":   {Head{Kind: Loss, Queue: chat7, Prev: Mark{1, 2, 3}, Writer: 9, Number: 1, Through: 5}, nil, ErrBroken},
		"sealed":          {Head{Kind: Sealed, Queue: chat7, Prev: Beginning, Writer: 9, Number: 1}, nil, ErrLater},
		"the next kind":   {Head{Kind: Loss + 1, Queue: chat7, Prev: Beginning, Writer: 9, Number: 1}, nil, ErrLater},
	} {
		if _, err := h.Decode(c.head.Append(nil, c.body)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// losing gives a scene of chat queue 7 with a writer whose last records of five are lost, as
// many as cut says.
func losing(t *testing.T, cut int64) (s *scene, w *Writer) {
	s = newScene(t)
	w = s.owner(Beginning)
	for range 4 {
		s.append(w, "x")
	}
	s.cut(chat7, 5-cut)
	return s, w
}

// TestGivenUp: every offset up to the end of a loss has a Loss, whoever had a mark in what is
// lost goes on as everybody does, and giving up once more is harmless.
func TestGivenUp(t *testing.T) {
	s, w := losing(t, 3)
	g := &GivenUp{Queue: chat7, Writer: 99, Registry: 1, Time: 1, Through: 30}
	highest := int64(0)
	for range 2 {
		if err := g.Write(t.Context(), s, func(offset int64) { highest = max(highest, offset) }); err != nil {
			t.Fatal(err)
		}
	}
	if highest < 30 {
		t.Errorf("it said that there are records up to %d", highest)
	}
	for _, from := range []Mark{Beginning, {1, w.id, 2}, {2, 7, 7}, w.Last(), {30, 99, 1}} {
		r := NewReader(s, chat7, from)
		_, end, _ := s.Bounds(t.Context(), chat7)
		if err := r.ReadTo(t.Context(), end, func(*Record) error { return nil }); err != nil || r.Last() != g.Mark() {
			t.Errorf("from %v a reader comes to %v, %v", from, r.Last(), err)
		}
	}
	var back []Kind
	if err := Back(t.Context(), s, chat7, w.Last(), func(r *Record) bool { back = append(back, r.Kind); return true }); err != nil || !slices.Equal(back, []Kind{Loss}) {
		t.Errorf("back from a mark that is lost there are %v, %v", back, err)
	}

	// A new writer goes on behind it, from its end and from what is lost.
	for _, from := range []Mark{g.Mark(), w.Last()} {
		next := s.owner(from)
		if m := s.append(next, "y"); m.Offset < 31 {
			t.Errorf("a writer from %v goes on at %v", from, m)
		}
	}
	// The old one finds itself moved.
	if _, err := w.Append(t.Context(), entries("late")); !errors.Is(err, ErrMoved) && !errors.Is(err, ErrLost) {
		t.Errorf("who wrote before the loss hears %v", err)
	}
}

// TestGivenUpBeside: where somebody's record lies at the end of the loss it says so.
func TestGivenUpBeside(t *testing.T) {
	s, _ := losing(t, 1)
	once := false
	s.before = func(queue Queue, _ []byte) error {
		if _, end, _ := s.Bounds(t.Context(), queue); end == 6 && !once {
			once = true
			s.put(queue, record(Mark{4, 1, 1}, 3, 3))
		}
		return nil
	}
	g := &GivenUp{Queue: chat7, Writer: 99, Registry: 1, Time: 1, Through: 6, at: 1}
	if err := g.Write(t.Context(), s, func(int64) {}); !errors.Is(err, ErrBeside) {
		t.Errorf("it says %v", err)
	}
}

// TestGivenUpOnABrokerThatIsAway: it ends, with the error of the broker.
func TestGivenUpOnABrokerThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := losing(t, 2)
		away, tries := errors.New("away"), 0
		s.before = func(Queue, []byte) error { tries++; return away }
		g := &GivenUp{Queue: chat7, Writer: 99, Registry: 1, Time: 1, Through: 6, at: 1}
		if err := g.Write(t.Context(), s, func(int64) {}); !errors.Is(err, away) || tries != triesOfLoss+1 {
			t.Errorf("after %d tries it says %v", tries, err)
		}
	})
}

// TestWriterAtALoss: a writer that believes in what is lost is told what counts, and that the
// queue is not its own, at whichever place it appends.
func TestWriterAtALoss(t *testing.T) {
	s, w := losing(t, 1)
	g := &GivenUp{Queue: chat7, Writer: 99, Registry: 1, Time: 1, Through: 8}
	if err := g.Write(t.Context(), s, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Append(t.Context(), entries("late")); !errors.Is(err, ErrMoved) {
		t.Errorf("it hears %v", err)
	}
}

// TestRefilledInDoubt: records of others at the place of those that are lost do not hide it
// from a writer that takes its queue over once more.
func TestRefilledInDoubt(t *testing.T) {
	s, w := losing(t, 1)
	s.put(chat7, record(Mark{3, 1, 1}, 3, 1))
	s.after = func(Queue, []byte) error { s.after = nil; return errors.New("no answer") }
	if _, err := w.Append(t.Context(), entries("x")); !errors.Is(err, ErrUnknown) {
		t.Fatalf("a lost answer gives %v", err)
	}
	if _, err := w.TakeOver(t.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("a take-over where the last record is another one says %v", err)
	}
}

// TestLostWhileTakenOver: what is lost between the look at the mark and the append is noticed.
func TestLostWhileTakenOver(t *testing.T) {
	s, w := losing(t, 0)
	next := s.writer(w.Last())
	s.before = func(queue Queue, _ []byte) error { s.cut(queue, 4); s.before = nil; return nil }
	if _, err := next.TakeOver(t.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("a take-over at the place of its own mark says %v", err)
	}
}
