package gateway

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"gannet/internal/hop"
	"gannet/protocol"
)

// lane carries the SEND, PUSHACK and READ frames of a queue to logic, those of a
// connection in order, one batch at a time: while one is under way the next ones fill.
// There is no timer; an idle lane sends a frame at once. Each lane has a goroutine, on
// which logic works where it is in this process. How connections share it is in
// round.go.
type lane struct {
	index   int
	gateway *Gateway
	ctx     context.Context // of the calls: see withinBatch
	awake   chan struct{}   // holds one token while something may wait

	carrying atomic.Bool // a batch is under way, at whose end the writers are woken

	mu       sync.Mutex
	waiting  []*filling // the queue, in order
	ring     ring       // of what is not in the queue
	begun    bool       // the turn of the ring's first has begun
	surplus  int        // parts that have a surplus
	bytes    int        // of all frames that wait
	frames   int        // likewise
	old      int        // frames for which Stop waits
	spare    []*filling
	underWay *filling

	// Of the lane's goroutine.
	answered []bool     // of each frame of the batch
	touched  []*session // to be written to
}

func newLane(g *Gateway, index int) *lane {
	l := &lane{
		index: index, gateway: g,
		awake: make(chan struct{}, 1),
	}
	l.ctx = context.WithValue(g.ctx, withinBatch{}, l)
	return l
}

// withinBatch is the key under which the context of a Forward carries its lane. A
// push that comes with that context, before Forward returns, is a push of the batch:
// it waits for the batch's answers, so that one write carries both. A call that has
// travelled between processes has lost the context, and is written at once.
type withinBatch struct{}

// within says whether the context is that of a batch of this gateway that is under
// way. What is on the writers' lists by then is written to at its end.
func (g *Gateway) within(ctx context.Context) bool {
	l, _ := ctx.Value(withinBatch{}).(*lane)
	return l != nil && l.gateway == g && l.carrying.Load()
}

// add copies an encoded frame into the lane; false: there is no room for it.
func (l *lane) add(s *session, frame []byte) bool {
	first, ok := l.enter(&s.parts[l.index], frame)
	if first {
		select {
		case l.awake <- struct{}{}:
		default:
		}
	}
	return ok
}

// enter puts a frame into the queue, or into the surplus of its connection. first: the
// lane was empty.
func (l *lane) enter(p *part, frame []byte) (first, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.fits(p, len(frame)) {
		return false, false
	}
	if p.surplus == nil && int(p.bytes)+len(frame) <= shareBytes && p.frames < shareFrames {
		l.filling(len(frame)).add(p, frame)
		p.bytes += int32(len(frame))
		p.frames++
	} else {
		l.enterSurplus(p, frame)
	}
	l.bytes += len(frame)
	l.frames++
	return l.frames == 1, true
}

// fits says whether a connection may have one more frame waiting: its share, or half
// of what is free, if that is more (dynamic thresholds, Choudhury and Hahne, 1998). So
// the more connections have much waiting the less each may have, some room is always
// left, and whoever has nothing waiting finds room for a message whatever others hold.
func (l *lane) fits(p *part, size int) bool {
	bytes, frames := p.waiting()
	freeBytes, freeFrames := laneBytes-l.bytes, laneFrames-l.frames
	switch {
	case frames == 0 && size <= shareBytes:
		return size <= freeBytes+reserveBytes && freeFrames+reserveFrames > 0
	case frames == 0:
		return size <= freeBytes && freeFrames > 0
	}
	return size <= freeBytes && bytes+size <= max(shareBytes, freeBytes/2) &&
		freeFrames > 0 && frames < max(shareFrames, freeFrames/2)
}

func (l *lane) enterSurplus(p *part, frame []byte) {
	if p.surplus != nil {
		p.surplus.add(frame)
		return
	}
	q := newSurplus()
	q.add(frame)
	p.surplus = q
	l.surplus++
	if p.frames == 0 {
		l.ring.push(p)
	}
}

// filling gives the batch at the end of the queue that has room for so many bytes
// more. mu is held.
func (l *lane) filling(size int) *filling {
	room := batchBytes
	if l.surplus > 0 {
		room -= surplusBytes
	}
	if n := len(l.waiting); n > 0 {
		if f := l.waiting[n-1]; len(f.batch.Frames)+size <= room {
			return f
		}
	}
	f := l.empty()
	l.waiting = append(l.waiting, f)
	return f
}

// empty gives a filling without frames. mu is held.
func (l *lane) empty() *filling {
	if n := len(l.spare); n > 0 {
		f := l.spare[n-1]
		l.spare = l.spare[:n-1]
		return f
	}
	return &filling{batch: hop.Forward{Gateway: l.gateway.epoch, Queue: l.index}}
}

// next makes the next batch; nil: nothing waits.
func (l *lane) next() *filling {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.frames == 0 {
		return nil
	}
	var f *filling
	if len(l.waiting) > 0 {
		f = l.waiting[0]
		l.waiting = slices.Delete(l.waiting, 0, 1)
		l.leave(f)
	} else {
		f = l.empty()
	}
	l.round(f)
	l.bytes -= len(f.batch.Frames)
	l.frames -= f.batch.Len()
	l.underWay = f
	return f
}

// leave takes note that the frames of a filling are not in the queue any more. mu is
// held.
func (l *lane) leave(f *filling) {
	start := uint32(0)
	for i, p := range f.parts {
		end := f.batch.Ends[i]
		p.bytes -= int32(end - start)
		start = end
		if p.old|p.void != 0 {
			f.mark(p, i)
		}
		if p.frames--; p.frames == 0 && p.surplus != nil {
			l.ring.push(p)
		}
	}
}

// done takes a batch back to be filled again.
func (l *lane) done(f *filling) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.underWay = nil
	l.old -= f.old
	f.reset()
	if len(l.spare) < laneSpare {
		l.spare = append(l.spare, f)
	}
}

// mark has the lane count, from now on, what is left of all that waits or is under way
// now; left says how much that is.
func (l *lane) mark() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.underWay != nil {
		l.underWay.old++
		l.old++
	}
	for _, f := range l.waiting {
		for _, p := range f.parts {
			l.markPart(p)
		}
	}
	if last := l.ring.last; last != nil {
		for p := last.next; ; p = p.next {
			l.markPart(p)
			if p == last {
				break
			}
		}
	}
}

// markPart marks all that waits of a part, once.
func (l *lane) markPart(p *part) {
	if p.old == 0 {
		_, n := p.waiting()
		p.old = int32(n)
		l.old += n
	}
}

func (l *lane) left() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.old
}

func (l *lane) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-l.awake:
		}
		for l.step() {
		}
	}
}

// step carries the next batch; false: nothing waits.
func (l *lane) step() (more bool) {
	defer func() {
		if cause := recover(); cause != nil {
			l.gateway.panicked("lane", cause)
			l.abandon()
			more = true
		}
	}()
	f := l.next()
	if f == nil {
		return false
	}
	defer l.done(f)
	l.carry(f)
	return true
}

// abandon empties a lane whose lists cannot be trusted any more, and closes the
// connections that have something in it, for nobody knows what became of that.
func (l *lane) abandon() {
	for _, s := range l.clear() {
		s.close(protocol.CodeInternal)
	}
}

func (l *lane) clear() (lost []*session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.gateway.sessions.all() {
		if s.phase.Load() != phaseOnline {
			continue // it has no parts, or is closed
		}
		p := &s.parts[l.index]
		if _, n := p.waiting(); n > 0 {
			*p = part{session: s}
			lost = append(lost, s)
		}
	}
	l.waiting, l.ring, l.begun, l.surplus = nil, ring{}, false, 0
	l.bytes, l.frames, l.old, l.spare, l.underWay = 0, 0, 0, nil, nil
	return lost
}
