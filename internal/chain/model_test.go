package chain

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"slices"
	"testing"
	"time"
)

var (
	seed   = flag.Uint64("seed", 0, "the one schedule of TestModel to run, 0: all")
	seeds  = flag.Uint64("seeds", 150, "how many schedules TestModel runs")
	onward = context.Background()
)

const modelSteps = 6000

// model is a run: writers with a ledger that gives out seqs, and readers.
type model struct {
	*sim
	t       *testing.T
	token   uint64
	acked   []map[uint64]Mark // of each queue, by token
	seqs    map[uint64]uint64 // by token
	given   []map[uint64]bool // of each queue, the seqs that were acked, of what was lost too
	readers []*follow
	counts  map[string]int // of what happened
}

// follow is what a reader has taken for true.
type follow struct {
	queue int
	from  Mark
	marks []Mark
}

// TestModel: whatever happens in whichever order, everybody agrees on what counts, what
// was acked is in it once, and no seq is given twice or skipped.
func TestModel(t *testing.T) {
	total := map[string]int{}
	for n := uint64(1); n <= *seeds; n++ {
		if *seed != 0 && n != *seed {
			continue
		}
		m := &model{sim: newSim(n, 2), t: t, counts: map[string]int{}, seqs: map[uint64]uint64{}}
		m.lossy, m.lose = n%2 == 0, m.lost
		m.run()
		for what, times := range m.counts {
			total[what] += times
		}
		if t.Failed() {
			t.Fatalf("schedule %d: go test -run TestModel ./internal/chain -seed %d", n, n)
		}
	}
	t.Log(total)
	for _, what := range []string{"acked", "moved", "unknown", "was there", "was not there", "old view", "refused", "killed", "reader restarted", "read",
		"lost", "given up", "void loss", "writer met a loss", "reader met a loss"} {
		if total[what] == 0 && *seed == 0 {
			t.Errorf("it never happened: %s", what)
		}
	}
	if *seed == 0 && total["acked"] < 20*int(*seeds) {
		t.Errorf("only %d records were acked", total["acked"])
	}
}

func (m *model) run() {
	for q := range m.queues {
		m.acked, m.given = append(m.acked, map[uint64]Mark{}), append(m.given, map[uint64]bool{})
		if m.lossy {
			m.spawn(func(a *actor) { m.operate(a, q) })
		}
		m.spawn(func(a *actor) { m.write(a, q) })
		m.spawn(func(a *actor) { m.write(a, q) })
		m.spawn(func(a *actor) { m.read(a, q) })
	}
	for range modelSteps {
		m.turn()
		if i := m.rng.IntN(len(m.actors)); m.chance(0.4) && !m.actors[i].dead {
			m.counts["killed"]++
			m.actors[i].dead = true
			q := m.rng.IntN(len(m.queues))
			if m.lossy && m.chance(30) {
				m.spawn(func(a *actor) { m.operate(a, q) })
			} else if m.chance(70) {
				m.spawn(func(a *actor) { m.write(a, q) })
			} else {
				m.spawn(func(a *actor) { m.read(a, q) })
			}
		}
		m.actors = slices.DeleteFunc(m.actors, func(a *actor) bool { return a.ended })
		if m.t.Failed() {
			break
		}
	}
	for _, a := range m.actors { // they end
		for a.dead = true; !a.ended; {
			if !a.ask() {
				m.t.Fatal("somebody who was killed waits for ever")
			}
			a.answers <- struct{}{}
			a.await()
		}
	}
	m.check()
}

// toy is a ledger: it knows the highest seq.
type toy struct {
	head uint64
	any  bool // the next one may be any
}

// take brings the ledger up to a record.
func (l *toy) take(body []byte) bool {
	for ; len(body) > 0; body = body[16:] {
		if l.any {
			l.head, l.any = binary.BigEndian.Uint64(body)-1, false
		}
		if l.head++; binary.BigEndian.Uint64(body) != l.head {
			return false
		}
	}
	return true
}

// write is a writer until it is killed.
func (m *model) write(a *actor, queue int) {
	for !a.dead {
		v := m.queues[queue].view
		m.own(a, queue, v)
	}
}

// own takes a queue over and writes it until it is lost.
func (m *model) own(a *actor, queue int, v view) {
	l := toy{head: v.head}
	w := NewWriter(Options{
		Stream: a, Queue: Queue{Chat, queue}, Registry: func() uint64 { return a.version }, Now: func() time.Time { return time.UnixMilli(int64(m.step)) },
		Take: func(r *Record) error {
			if r.Kind == Loss {
				m.counts["writer met a loss"]++
				return errMet
			}
			if !a.dead && !l.take(r.Body) {
				m.t.Errorf("queue %d: the record at %v does not go on from seq %d", queue, r.Mark, l.head)
			}
			return nil
		},
		random: func() uint64 { m.ids += 2; return m.ids + 1 },
		pause:  func(context.Context, time.Duration) error { return a.yield() },
	}, v.mark)
	var tokens []uint64
	believed := v.mark
	for doubtful := false; !a.dead; {
		doubt, err := w.TakeOver(onward)
		switch {
		case a.dead:
			return
		case errors.As(err, new(*OldViewError)):
			m.counts["old view"]++
			a.yield()
			if m.chance(20) {
				return // begin again from the view
			}
			continue
		case errors.Is(err, ErrRetention):
			m.counts["behind retention"]++
			return
		case errors.Is(err, errMet):
			return
		case errors.Is(err, ErrLost) && m.lossy:
			a.yield()
			return
		case errors.Is(err, ErrLost):
			m.t.Errorf("queue %d: nothing was lost, but %v", queue, err)
			return
		case err != nil:
			continue
		}
		if !m.show(queue, &believed, view{w.Last(), l.head}) {
			return
		}
		if doubtful {
			if doubt.Counts {
				m.counts["was there"]++
				m.ack(queue, tokens, doubt.Mark)
			} else {
				m.counts["was not there"]++
			}
		}
		if doubtful = m.fill(a, queue, w, &l, &tokens, &believed); !doubtful && !w.Taken() && m.chance(50) {
			return
		}
	}
}

// fill appends until the queue is lost or in doubt.
func (m *model) fill(a *actor, queue int, w *Writer, l *toy, tokens *[]uint64, believed *Mark) (doubtful bool) {
	for !a.dead {
		*tokens = (*tokens)[:0]
		var body []byte
		for i := range 1 + m.rng.IntN(3) {
			m.token++
			*tokens = append(*tokens, m.token)
			m.seqs[m.token] = l.head + uint64(i) + 1
			body = binary.BigEndian.AppendUint64(body, l.head+uint64(i)+1)
			body = binary.BigEndian.AppendUint64(body, m.token)
		}
		mark, err := w.Append(onward, body)
		switch {
		case a.dead:
			return false
		case err == nil:
			if !l.take(body) {
				m.t.Errorf("queue %d: a record was acked on what came before it", queue)
			}
			if (m.lossy || m.chance(80)) && !m.show(queue, believed, view{mark, l.head}) {
				return false
			}
			m.ack(queue, *tokens, mark)
		case errors.Is(err, ErrRefused):
			m.counts["refused"]++
		case errors.Is(err, ErrMoved):
			m.counts["moved"]++
			return false
		case errors.Is(err, ErrUnknown):
			m.counts["unknown"]++
			return true
		case m.lossy && (errors.Is(err, ErrLost) || errors.Is(err, errMet)):
			return false
		default:
			m.t.Errorf("queue %d: Append says %v", queue, err)
			return false
		}
	}
	return false
}

// ack notes that a client was told of a record.
func (m *model) ack(queue int, tokens []uint64, mark Mark) {
	m.counts["acked"]++
	for _, token := range tokens {
		if !m.lossy || there(m.queues[queue], mark) {
			m.acked[queue][token] = mark
		}
		if seq := m.seqs[token]; m.given[queue][seq] {
			m.t.Errorf("queue %d: seq %d is acked a second time, at %v", queue, seq, mark)
		} else {
			m.given[queue][seq] = true
		}
	}
}

// show brings the view forward. Where something may be lost it does so only from the mark that
// its writer believes, and says whether it did.
func (m *model) show(queue int, believed *Mark, v view) bool {
	q := m.queues[queue]
	if m.lossy && q.view.mark != *believed && q.view.mark != v.mark {
		return false
	}
	if m.lossy || v.mark.Offset > q.view.mark.Offset {
		q.view = v
	}
	*believed = v.mark
	return true
}

// read is a reader that begins at the view and takes for true what the view has: up to a
// record that is the view's mark.
func (m *model) read(a *actor, queue int) {
	f := &follow{queue: queue, from: m.queues[queue].view.mark}
	m.readers = append(m.readers, f)
	for last := f.from; !a.dead; {
		r := NewReader(a, Queue{Chat, queue}, last)
		r.pause = func(context.Context, time.Duration) error { return a.yield() }
		var waiting []Mark
		for !a.dead {
			err := r.Read(onward, func(record *Record) error {
				if record.Kind == Loss {
					m.counts["reader met a loss"]++
					waiting = waiting[:0] // what was not shown before it is not any more
				}
				waiting = append(waiting, record.Mark)
				return nil
			})
			shown := m.queues[queue].view.mark
			if i := slices.Index(waiting, shown); i >= 0 && !a.dead {
				f.marks = append(f.marks, waiting[:i+1]...)
				waiting = slices.Delete(waiting, 0, i+1)
				last = shown
				m.counts["read"]++
			} else if len(waiting) > 0 && waiting[len(waiting)-1].Offset >= shown.Offset && shown.Offset >= waiting[0].Offset || errors.Is(err, ErrTorn) {
				m.counts["reader restarted"]++
				break
			}
			if errors.Is(err, ErrRetention) {
				return
			}
			if errors.Is(err, ErrLost) && m.lossy {
				a.yield()
				break
			}
			if errors.Is(err, ErrLost) {
				m.t.Errorf("queue %d: nothing was lost, but a reader says %v", queue, err)
			}
		}
	}
}

// check holds what everybody has seen against the queues.
func (m *model) check() {
	for n, q := range m.queues {
		at, places := counting(m.t, q, Queue{Chat, n})
		for token, mark := range m.acked[n] {
			if got, ok := at[token]; !ok || got != mark {
				m.t.Errorf("queue %d: token %d was acked at %v and counts at %v", n, token, mark, got)
			}
		}
		for _, f := range m.readers {
			if f.queue != n {
				continue
			}
			if m.lossy {
				m.agrees(f, q, places)
				continue
			}
			i := slices.Index(places, f.from) + 1 // 0 for the beginning
			if f.from != Beginning && i == 0 || i+len(f.marks) > len(places) || !slices.Equal(f.marks, places[i:i+len(f.marks)]) {
				m.t.Errorf("queue %d: a reader from %v saw %v, what counts is %v", n, f.from, f.marks, places)
			}
		}
	}
}

// counting is the rule in its shortest form, over the whole queue. It gives where each
// token is, and all that counts.
func counting(t *testing.T, q *simQueue, queue Queue) (at map[uint64]Mark, places []Mark) {
	at = map[uint64]Mark{}
	last, l := Beginning, toy{}
	for _, s := range q.bodies {
		var h Head
		body, err := h.Decode(s.Body)
		if err != nil || h.Queue != queue {
			continue
		}
		if h.Kind != Loss && h.Prev != last || h.Kind == Loss && last.Offset >= h.Through {
			continue
		}
		last = Mark{s.Offset, h.Writer, h.Number}
		places = append(places, last)
		if h.Kind == Loss {
			l.any = true // what was lost had seqs too
		}
		if !l.take(body) {
			t.Errorf("%v: what counts at %v does not go on from seq %d", queue, last, l.head)
		}
		for ; len(body) > 0; body = body[16:] {
			token := binary.BigEndian.Uint64(body[8:])
			if other, twice := at[token]; twice {
				t.Errorf("%v: token %d counts at %v and %v", queue, token, other, last)
			}
			at[token] = last
		}
	}
	return at, places
}
