package load

import (
	"sync/atomic"
	"time"
)

// gapSlot is how exactly gaps are known.
const gapSlot = time.Millisecond

// gaps notes in which milliseconds of a run acks came. Taking one note costs a
// look at memory that hardly ever changes. Safe for concurrent use.
type gaps struct {
	from  int64 // on the load's clock
	slots []atomic.Bool
}

func newGaps(from, until int64) *gaps {
	return &gaps{from: from, slots: make([]atomic.Bool, (until-from)/int64(gapSlot))}
}

// add notes an ack; one outside of the run does not count. nil takes no notes.
func (g *gaps) add(now int64) {
	if g == nil || now < g.from {
		return
	}
	slot := (now - g.from) / int64(gapSlot)
	if slot < int64(len(g.slots)) && !g.slots[slot].Load() {
		g.slots[slot].Store(true)
	}
}

// Silence is how long a run was without acks.
type Silence struct {
	Longest time.Duration // to the millisecond
	Seconds int           // whole seconds of the run, counted from its beginning
}

// until gives the silence up to a moment.
func (g *gaps) until(end int64) (s Silence) {
	const perSecond = int(time.Second / gapSlot)
	slots := g.slots[:max(0, min(int64(len(g.slots)), (end-g.from)/int64(gapSlot)))]
	silent, inSecond := 0, 0 // slots without acks: in a row, and in this second
	for i := range slots {
		if i%perSecond == 0 {
			inSecond = 0
		}
		if slots[i].Load() {
			silent = 0
			continue
		}
		silent++
		inSecond++
		s.Longest = max(s.Longest, time.Duration(silent)*gapSlot)
		if inSecond == perSecond {
			s.Seconds++
		}
	}
	return s
}

// Silence gives how long the run was without acks, up to its end or to Stop. It is
// for runs that have a duration.
func (l *Load) Silence() Silence { return l.gaps.until(l.until.Load()) }
