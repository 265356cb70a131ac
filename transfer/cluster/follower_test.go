//go:build cluster

package cluster

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"gannet/internal/chain"
	"gannet/internal/hop"
)

// begun is a scene of one queue whose node has begun it.
func begun(t *testing.T) (*scene, *Queue) {
	s := newScene(t, 1)
	s.node(1)
	q := s.open(1)
	must(t, q.Begin(t.Context(), 0))
	return s, q
}

// A record is taken once the view has come to it, and none that the view has not.
func TestTakesWhatIsVisible(t *testing.T) {
	s, q := begun(t)
	w := s.writers[0]
	f := follow(t, q, 0, doneAtOnce)
	w.put(message(0, 0, "a"))
	eventually(t, "the first record", func() bool { return len(f.got()) == 1 })
	b := w.append(message(0, 1, "b"))
	w.append(message(0, 2, "c"))
	d := w.append(message(0, 3, "d"))
	eventually(t, "looks at the view", func() bool { return q.Vars()["view.waits"] > 3 })
	if got := f.got(); len(got) != 1 {
		t.Fatalf("took %q, of which the view has only a", got)
	}
	w.forward(b)
	eventually(t, "the second record", func() bool { return len(f.got()) == 2 })
	w.forward(d) // over c
	eventually(t, "the others", func() bool { return len(f.got()) == 4 })
	if got := f.got(); !slices.Equal(got, []string{"a", "b", "c", "d"}) {
		t.Errorf("took %q", got)
	}
	eventually(t, "all are done", func() bool { return q.Vars()["undone"] == 0 })
	if v := q.Vars(); v["records"] != 4 || v["undone"] != 0 || v["queues"] != 1 || v["torn"] != 0 {
		t.Errorf("counted %v", v)
	}
}

// overheard counts what a broker is asked for.
type overheard struct {
	chain.Stream
	pulls atomic.Uint64
}

func (o *overheard) Pull(ctx context.Context, queue chain.Queue, from int64, limit int) ([]chain.Stored, error) {
	o.pulls.Add(1)
	return o.Stream.Pull(ctx, queue, from, limit)
}

// One that begins far behind its view takes all without a look at the view for each, and counts
// all that it asks the broker for.
func TestCatchesUp(t *testing.T) {
	s, q := begun(t)
	w := s.writers[0]
	broker := &overheard{Stream: q.stream}
	q.stream = broker
	var last chain.Mark
	const n = 300
	for i := range n {
		last = w.append(message(0, i, "x"))
	}
	w.forward(last)
	most := 0
	f := follow(t, q, 0, func(_ *hop.Record, done func()) {
		most = max(most, len(q.followers[0].kept)) // this is the follower's goroutine
		done()
	})
	eventually(t, "all", func() bool { return len(f.got()) == n })
	must(t, ignore(f.end(), context.Canceled))
	if most > 70 {
		t.Errorf("%d records were held back though the view had them", most)
	}
	if v := q.Vars(); v["view.looks"] > n/10 {
		t.Errorf("%d looks at the view for %d records that it had", v["view.looks"], n)
	}
	if v, pulls := q.Vars(), broker.pulls.Load(); v["pulls"] != pulls || pulls < n/32 {
		t.Errorf("the broker was asked %d times, %d are counted", pulls, v["pulls"])
	}
	if !slices.IsSorted(f.marks) {
		t.Errorf("the marks are %v", f.marks)
	}
}

// ignore gives the error unless it is the one that is expected.
func ignore(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}

// Records that do not count are not taken, wherever they lie.
func TestVoidRecords(t *testing.T) {
	s, q := begun(t)
	w := s.writers[0]
	f := follow(t, q, 0, doneAtOnce)
	stale := chain.Head{Kind: chain.Entries, Queue: w.queue, Prev: chain.Beginning, Writer: 77, Number: 1, Time: 1}
	void := func() {
		_, err := s.stream.Append(t.Context(), w.queue, stale.Append(nil, message(0, 9, "void").AppendEntries(nil)))
		must(t, err)
		_, err = s.stream.Append(t.Context(), w.queue, []byte("no record at all"))
		must(t, err)
	}
	w.put(message(0, 0, "a"))
	void()
	w.put(message(0, 1, "b"))
	void()
	eventually(t, "the void ones", func() bool { return q.Vars()["void.broken"] == 2 })
	w.put(message(0, 2, "c"))
	eventually(t, "the others", func() bool { return len(f.got()) >= 3 })
	if got := f.got(); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("took %q", got)
	}
	if n := q.Vars()["void.stale"]; n != 2 {
		t.Errorf("%d stale records were counted", n)
	}
}

// The offset of a record is not enough to be the view's: one of another writer there says
// that what was read has been replaced.
func TestViewAtAnotherRecord(t *testing.T) {
	for _, name := range []string{"that was read", "that is read first", "that is read next"} {
		t.Run(name, func(t *testing.T) {
			s, q := begun(t)
			w := s.writers[0]
			other := func(mark chain.Mark) {
				mark.Writer++
				w.forward(mark)
			}
			var f *taker
			if name == "that is read first" {
				other(w.append(message(0, 0, "a")))
				f = follow(t, q, 0, doneAtOnce)
			} else {
				f = follow(t, q, 0, doneAtOnce)
				mark := w.append(message(0, 0, "a"))
				eventually(t, "that it was read", func() bool { return q.Vars()["view.waits"] > 0 })
				if name == "that is read next" {
					mark = w.append(message(0, 1, "b"))
					// The follower reads both again. A broker may show a record later than it says that
					// it has it, and then the first of them comes alone and is rightly handed over.
					eventually(t, "that it can be read", func() bool {
						shown, err := s.stream.Pull(t.Context(), w.queue, mark.Offset, 1)
						return err == nil && len(shown) == 1
					})
				}
				other(mark)
			}
			if err := f.over(); !errors.Is(err, errOther) {
				t.Errorf("it ended with %v", err)
			}
			if got := f.got(); len(got) != 0 {
				t.Errorf("took %q", got)
			}
			if q.Vars()["torn"] == 0 {
				t.Error("it was not counted")
			}
		})
	}
}

// A mark that the broker has nothing for any more, or not yet, is an error that says so.
func TestMarksThatTheBrokerDoesNotHave(t *testing.T) {
	s, q := begun(t)
	w := s.writers[0]
	w.put(message(0, 0, "a"))
	w.put(message(0, 1, "b"))

	t.Run("behind retention", func(t *testing.T) {
		old := s.open(1)
		old.stream = aged{s.stream, w.marks[1].Offset}
		must(t, old.state.save(t.Context(), w.queue, w.marks[0], nil))
		err := follow(t, old, 0, doneAtOnce).over()
		if !errors.Is(err, chain.ErrRetention) || !strings.Contains(err.Error(), "chat queue 0") {
			t.Errorf("it ended with %v", err)
		}
		if err := old.Check(t.Context(), 0); !errors.Is(err, chain.ErrRetention) {
			t.Errorf("the check says %v", err)
		}
		if err := q.Check(t.Context(), 0); err != nil {
			t.Errorf("the check of a mark within retention says %v", err)
		}
	})
	t.Run("of a record that is another", func(t *testing.T) {
		mark := w.marks[0]
		mark.Writer++
		must(t, q.Forget(t.Context(), 0))
		must(t, q.state.save(t.Context(), w.queue, mark, nil))
		if err := follow(t, q, 0, doneAtOnce).over(); !errors.Is(err, chain.ErrLost) {
			t.Errorf("it ended with %v", err)
		}
	})
	t.Run("past the end", func(t *testing.T) {
		must(t, q.state.save(t.Context(), w.queue, chain.Mark{Offset: 1000, Writer: 1, Number: 1}, nil))
		if err := follow(t, q, 0, doneAtOnce).over(); !errors.Is(err, chain.ErrLost) {
			t.Errorf("it ended with %v", err)
		}
	})
	t.Run("damaged", func(t *testing.T) {
		must(t, s.redis.Set(t.Context(), q.state.key(w.queue, "t"), "rubbish", 0).Err())
		if err := follow(t, q, 0, doneAtOnce).over(); !errors.Is(err, ErrDamaged) {
			t.Errorf("it ended with %v", err)
		}
	})
}

// aged is a broker whose retention has passed what lies before an offset.
type aged struct {
	chain.Stream
	first int64
}

func (a aged) Bounds(ctx context.Context, queue chain.Queue) (int64, int64, error) {
	_, end, err := a.Stream.Bounds(ctx, queue)
	return a.first, end, err
}
