package chain

import (
	"context"
	"errors"
	"slices"
	"time"
)

// errMet ends a writer that comes upon a loss: what it knows of seqs is not all.
var errMet = errors.New("a writer met a loss")

// lost notes that records of a queue are gone, which were acked perhaps.
func (m *model) lost(queue int, from int64) {
	for token, mark := range m.acked[queue] {
		if mark.Offset >= from {
			m.counts["lost"]++
			delete(m.acked[queue], token)
		}
	}
}

// operate is an operator who gives up what a queue has lost, whenever its view names a record
// that is not there.
func (m *model) operate(a *actor, queue int) {
	for !a.dead {
		a.yield()
		q := m.queues[queue]
		v := q.view
		if v.mark == Beginning || there(q, v.mark) {
			continue
		}
		m.ids += 2
		g := &GivenUp{
			Queue: Queue{Chat, queue}, Writer: m.ids + 1, Registry: 1, Time: uint64(m.step), at: 1,
			Through: max(v.mark.Offset, int64(len(q.bodies))) + int64(m.rng.IntN(4)) + 1,
			pause:   func(context.Context, time.Duration) error { return a.yield() },
		}
		// From here on nobody who believes in what is lost can ack.
		q.view.mark = g.Mark()
		for !a.dead && q.view.mark == g.Mark() {
			err := g.Write(onward, a, func(int64) {})
			if err == nil {
				m.counts["given up"]++
			}
			if err == nil || errors.Is(err, ErrBeside) || m.chance(20) {
				break // the next look shows how it is
			}
		}
	}
}

// there says whether a queue has the record of a mark.
func there(q *simQueue, mark Mark) bool {
	var h Head
	if mark.Offset >= int64(len(q.bodies)) {
		return false
	}
	_, err := h.Decode(q.bodies[mark.Offset].Body)
	return err == nil && Mark{mark.Offset, h.Writer, h.Number} == mark
}

// agrees checks what a reader saw of a queue that lost something: of what the queue has it saw
// nothing that does not count, and between two records that it saw nothing else counts. From
// what is lost it comes to a loss alone, where it leaves out what it was not shown.
func (m *model) agrees(f *follow, q *simQueue, places []Mark) {
	loss := func(mark Mark) bool {
		var h Head
		_, err := h.Decode(q.bodies[mark.Offset].Body)
		return err == nil && h.Kind == Loss
	}
	before := f.from
	for _, mark := range f.marks {
		i, at := slices.Index(places, mark), slices.Index(places, before)
		switch {
		case i < 0 && there(q, mark):
			m.t.Errorf("queue %d: a reader saw %v, which does not count", f.queue, mark)
		case i >= 0 && (at >= 0 || before == Beginning) && (i <= at || i != at+1 && !loss(mark)):
			m.t.Errorf("queue %d: behind %v a reader saw %v, which is not the next", f.queue, before, mark)
		case i >= 0 && at < 0 && before != Beginning && !loss(mark):
			m.t.Errorf("queue %d: from %v, which is lost, a reader came to %v", f.queue, before, mark)
		}
		before = mark
	}
	var last Mark
	for _, s := range q.bodies {
		var h Head
		if _, err := h.Decode(s.Body); err == nil && h.Kind == Loss && h.Through <= last.Offset {
			m.counts["void loss"]++
		} else if slices.Contains(places, Mark{s.Offset, h.Writer, h.Number}) {
			last = Mark{Offset: s.Offset}
		}
	}
}
