package chain

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// scene is writers of one queue on a broker in memory.
type scene struct {
	*memory
	t        *testing.T
	registry uint64
	now      time.Time
	took     []Record // what Take of any of them was given
}

func newScene(t *testing.T) *scene {
	return &scene{memory: newMemory(), t: t, registry: 1, now: time.UnixMilli(1_700_000_000_000)}
}

// writer makes one that begins behind the mark.
func (s *scene) writer(mark Mark) *Writer {
	return NewWriter(Options{
		Stream: s, Queue: chat7, Registry: func() uint64 { return s.registry }, Now: func() time.Time { return s.now }, Most: HeadSize + 200,
		Take: func(r *Record) error { s.took = append(s.took, *r); return nil },
	}, mark)
}

// owner makes one that has the queue.
func (s *scene) owner(mark Mark) *Writer {
	s.t.Helper()
	w := s.writer(mark)
	s.takeOver(w)
	return w
}

func (s *scene) takeOver(w *Writer) Doubt {
	s.t.Helper()
	d, err := w.TakeOver(s.t.Context())
	if err != nil || !w.Taken() {
		s.t.Fatalf("TakeOver says %v, and taken is %v", err, w.Taken())
	}
	return d
}

func (s *scene) append(w *Writer, text string) Mark {
	s.t.Helper()
	m, err := w.Append(s.t.Context(), entries(text))
	if err != nil || m != w.Last() {
		s.t.Fatalf("Append gives %v (%v), and the last mark is %v", m, err, w.Last())
	}
	return m
}

// texts gives the entries of what Take was given, and forgets it.
func (s *scene) texts() (texts []string) {
	for _, r := range s.took {
		text := "empty"
		if r.Kind == Entries {
			text = string(r.Body[len(entries("")):])
		}
		if r.Sent {
			text += " sent"
		}
		texts = append(texts, text)
	}
	s.took = nil
	return texts
}

func (s *scene) want(texts ...string) {
	s.t.Helper()
	if got := s.texts(); !slices.Equal(got, texts) {
		s.t.Errorf("Take was given %q, want %q", got, texts)
	}
}

func TestAppendInPosition(t *testing.T) {
	s := newScene(t)
	w := s.writer(Beginning)
	if _, err := w.Append(t.Context(), entries("early")); !errors.Is(err, ErrNotTaken) {
		t.Fatalf("before the queue is taken over Append says %v", err)
	}
	s.takeOver(w)
	pulls := s.pulls
	for i := range int64(3) {
		if m := s.append(w, "x"); m.Offset != i+1 || m.Number != uint64(i)+2 {
			t.Errorf("record %d has mark %v", i, m)
		}
	}
	if s.pulls != pulls {
		t.Errorf("a writer in position pulled %d times", s.pulls-pulls)
	}
	s.want()
	if _, err := w.Append(t.Context(), make([]byte, 201)); !errors.Is(err, ErrTooLarge) || !w.Taken() {
		t.Errorf("a record too large: %v", err)
	}
	s.before = func(Queue, []byte) error { return ErrRefused }
	if _, err := w.Append(t.Context(), entries("y")); !errors.Is(err, ErrRefused) || !w.Taken() {
		t.Errorf("a record that is refused: %v", err)
	}
	s.before = nil
	if m := s.append(w, "y"); m.Offset != 4 || m.Number != 5 {
		t.Errorf("after that the mark is %v", m)
	}
}

func TestAppendBehindVoidRecords(t *testing.T) {
	s := newScene(t)
	w := s.owner(Beginning)
	s.put(chat7, []byte("no record"))
	s.put(chat7, record(Mark{0, 5, 5}, 6, 7)[:HeadSize])
	if m := s.append(w, "x"); m.Offset != 3 {
		t.Errorf("the mark is %v", m)
	}
	if m := s.append(w, "y"); m.Offset != 4 {
		t.Errorf("the next one is %v", m)
	}
	s.want()
}

func TestAppendThatIsThereTwice(t *testing.T) {
	s := newScene(t)
	w := s.owner(Beginning)
	s.before = func(q Queue, b []byte) error { s.put(q, b); return nil }
	m := s.append(w, "x")
	if m.Offset != 1 {
		t.Errorf("the mark is %v, want that of the first copy", m)
	}
	s.before = nil
	if m := s.append(w, "y"); m.Offset != 3 {
		t.Errorf("the next one is %v", m)
	}
}

func TestMoved(t *testing.T) {
	s := newScene(t)
	w := s.owner(Beginning)
	s.append(w, "mine")
	other := s.owner(Beginning)
	s.want("empty", "mine")
	s.append(other, "theirs")
	if _, err := w.Append(t.Context(), entries("late")); !errors.Is(err, ErrMoved) || w.Taken() {
		t.Fatalf("Append says %v", err)
	}
	s.want("empty", "theirs")
	s.append(other, "more")
	d := s.takeOver(w)
	s.want("more")
	if d.Counts {
		t.Error("what is void for ever is thought to count")
	}
	s.append(w, "again")
}

// TestUnknown: what was in doubt is there, or comes too late for ever.
func TestUnknown(t *testing.T) {
	away := errors.New("away")
	for _, there := range []bool{true, false} {
		s := newScene(t)
		w := s.owner(Beginning)
		id := w.id
		var lost []byte
		fail := func(_ Queue, b []byte) error { lost = b; return away }
		if there {
			s.after = fail
		} else {
			s.before = fail
		}
		if _, err := w.Append(t.Context(), entries("x")); !errors.Is(err, ErrUnknown) || !errors.Is(err, away) || w.Taken() {
			t.Fatalf("Append says %v", err)
		}
		if _, err := w.Append(t.Context(), entries("y")); !errors.Is(err, ErrNotTaken) {
			t.Fatalf("in doubt Append says %v", err)
		}
		if _, err := w.TakeOver(t.Context()); !errors.Is(err, away) { // still away
			t.Fatalf("TakeOver says %v", err)
		}
		s.before, s.after = nil, nil
		d := s.takeOver(w)
		if d.Counts != there || there && d.Mark.Offset != 1 || w.id == id {
			t.Errorf("it is there: %v. TakeOver says %+v, under the writer id %x after %x", there, d, w.id, id)
		}
		if there {
			s.want("x sent")
		} else {
			s.want()
			s.put(chat7, lost)
		}
		s.append(w, "z")
		s.texts()
		if other := s.owner(Beginning); there != (s.texts()[1] == "x") || other.Last().Offset < 3 {
			t.Errorf("it is there: %v, and others think not", there)
		}
	}
}

// TestUnknownAndMoved: a record came twice, and somebody took over between the copies.
func TestUnknownAndMoved(t *testing.T) {
	s := newScene(t)
	w := s.owner(Beginning)
	s.before = func(q Queue, b []byte) error {
		s.before = nil
		s.put(q, b)
		s.owner(Beginning)
		s.took = nil
		return nil
	}
	if _, err := w.Append(t.Context(), entries("x")); !errors.Is(err, ErrUnknown) || w.Taken() {
		t.Fatalf("Append says %v", err)
	}
	s.want("x sent", "empty")
	if d := s.takeOver(w); !d.Counts || d.Mark.Offset != 1 {
		t.Errorf("TakeOver says %+v", d)
	}
	s.want()
}

func TestLostByTheBroker(t *testing.T) {
	s := newScene(t)
	w := s.owner(Beginning)
	s.append(w, "x")
	last := s.append(w, "y")
	s.cut(chat7, 2)
	if _, err := w.Append(t.Context(), entries("z")); !errors.Is(err, ErrLost) {
		t.Errorf("Append says %v", err)
	}
	if _, err := w.TakeOver(t.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("and then TakeOver %v", err)
	}
	if _, err := s.writer(last).TakeOver(t.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("a mark that is not there: %v", err)
	}
	s.cut(chat7, 1)
	if _, err := s.writer(last).TakeOver(t.Context()); !errors.Is(err, ErrLagging) && !errors.Is(err, ErrLost) {
		t.Errorf("a mark past the end: %v", err)
	}
}

// TestLostInDoubt: a broker that forgot what it had acknowledged while a record was in
// doubt is not written to.
func TestLostInDoubt(t *testing.T) {
	s := newScene(t)
	w := s.owner(Beginning)
	s.append(w, "x")
	s.append(w, "y")
	s.before = func(Queue, []byte) error { return errors.New("away") }
	if _, err := w.Append(t.Context(), entries("z")); !errors.Is(err, ErrUnknown) {
		t.Fatal(err)
	}
	s.before = nil
	s.cut(chat7, 2)
	for range 2 {
		if _, err := w.TakeOver(t.Context()); !errors.Is(err, ErrLost) || w.Taken() {
			t.Errorf("TakeOver says %v", err)
		}
	}
}

func TestHourlyRecord(t *testing.T) {
	s := newScene(t)
	w := s.owner(Beginning)
	for _, c := range []struct {
		after time.Duration
		end   int
	}{{time.Hour - time.Millisecond, 1}, {time.Millisecond, 2}, {time.Minute, 2}, {time.Hour, 3}} {
		s.now = s.now.Add(c.after)
		if err := w.Refresh(t.Context()); err != nil || len(s.queues[chat7]) != c.end {
			t.Fatalf("after %v the queue has %d records (%v), want %d", c.after, len(s.queues[chat7]), err, c.end)
		}
	}
	var h Head
	if _, err := h.Decode(s.queues[chat7][2]); err != nil || h.Kind != Empty || h.Prev.Offset != 1 {
		t.Errorf("it is %+v (%v)", h, err)
	}
	s.append(w, "x")
}
