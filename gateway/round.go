package gateway

import (
	"encoding/binary"
	"sync"
)

// The connections share a lane as follows. Frames of a connection, up to its share, wait in the
// lane's one queue, in order of arrival. So they are copied once, and a batch is made without
// looking for connections. Further frames of a connection are its surplus, a list of its own.
// Each batch takes the oldest part of the queue, and is filled up from the surplus of one
// connection after the other (deficit round robin, Shreedhar and Varghese, 1996). So a connection
// that sends as fast as it can is ahead of others by its share and no more. The order within a
// connection is kept: its surplus has no turn while frames of it are in the queue, and while it
// has a surplus, all its new frames go there.
//
// Fairness is between connections. The devices of one user are not counted together, because the
// lane would have to look up each user. How many devices a user may have, and how much a user may
// send, is limited elsewhere.

// part has the frames of one connection that wait in one lane. The lane's mu guards it.
type part struct {
	session *session
	surplus *surplus // nil: none
	next    *part    // in the ring
	bytes   int32    // in the queue
	frames  int32    // likewise
	void    int32    // of the oldest frames, queue and surplus: SENDs among them are refused
	old     int32    // of the oldest frames: Stop waits for them
	life    uint32   // life of the lane when this was set; if it has changed, the part is empty
}

// newParts makes the parts of a connection, one for each lane.
func newParts(s *session) []part {
	parts := make([]part, len(s.gateway.lanes))
	for i := range parts {
		parts[i].session = s
	}
	return parts
}

// waiting gives all that the connection has waiting in the lane.
func (p *part) waiting() (bytes, frames int) {
	bytes, frames = int(p.bytes), int(p.frames)
	if q := p.surplus; q != nil {
		bytes, frames = bytes+len(q.bytes)-q.taken, frames+q.frames
	}
	return bytes, frames
}

// surplus is encoded frames, one behind the other.
type surplus struct {
	bytes   []byte
	taken   int // of bytes
	frames  int // that are left
	deficit int // bytes that may still go in this turn
	turn    int // frames that may still go in this turn
}

// surplusSpare is the largest buffer that is kept to be used again.
const surplusSpare = 128 << 10

var surpluses = sync.Pool{New: func() any { return new(surplus) }}

// newSurplus takes a surplus from the pool, and dropSurplus gives it back.
func newSurplus() *surplus { return surpluses.Get().(*surplus) }

func (l *lane) dropSurplus(p *part) {
	q := p.surplus
	p.surplus = nil
	if l.surplus--; l.surplus == 0 {
		l.longest = 0
	}
	if cap(q.bytes) <= surplusSpare {
		*q = surplus{bytes: q.bytes[:0]}
		surpluses.Put(q)
	}
}

func (q *surplus) add(frame []byte) {
	if len(q.bytes)+len(frame) > cap(q.bytes) && q.taken > len(q.bytes)/2 {
		q.bytes = q.bytes[:copy(q.bytes, q.bytes[q.taken:])]
		q.taken = 0
	}
	q.bytes = append(q.bytes, frame...)
	q.frames++
}

// first gives the oldest frame.
func (q *surplus) first() []byte {
	rest := q.bytes[q.taken:]
	return rest[:4+binary.BigEndian.Uint32(rest)]
}

// ring is the parts whose surplus may be carried, in the order of their turns.
type ring struct {
	last *part // last.next has the turn
}

func (r *ring) push(p *part) {
	if r.last == nil {
		p.next = p
	} else {
		p.next, r.last.next = r.last.next, p
	}
	r.last = p
}

// pop removes the part that has the turn.
func (r *ring) pop() {
	p := r.last.next
	if p == r.last {
		r.last = nil
	} else {
		r.last.next = p.next
	}
	p.next = nil
}

// round fills a batch up from the surplus of the connections in turn. mu is held.
func (l *lane) round(f *filling) {
	for l.ring.last != nil {
		p := l.ring.last.next
		q := p.surplus
		if p.session.phase.Load() == phaseClosing {
			l.forget(p)
		}
		if !l.begun {
			q.deficit, q.turn, l.begun = q.deficit+shareBytes, shareFrames, true
		}
		if !l.fill(f, p) {
			return // the turn goes on in the next batch
		}
		l.ring.pop()
		l.begun = false
		if q.frames == 0 {
			l.dropSurplus(p)
		} else {
			l.ring.push(p)
		}
	}
}

// fill takes what the turn of a part allows. It returns false if the batch is full before that.
func (l *lane) fill(f *filling, p *part) bool {
	q := p.surplus
	for q.frames > 0 && q.turn > 0 {
		frame := q.first()
		if len(frame) > q.deficit {
			return true
		}
		if m := l.gateway.batches; f.batch.Len() > 0 && m.with(f, len(frame)) > m.most {
			return false
		}
		f.add(p, frame)
		f.mark(p, len(f.parts)-1)
		q.taken += len(frame)
		q.deficit -= len(frame)
		q.frames--
		q.turn--
	}
	return true
}

// forget removes frames that want an answer from the surplus of a closed connection. As in sift,
// its acks stay, because the client has acked.
func (l *lane) forget(p *part) {
	q := p.surplus
	rest, old := q.bytes[q.taken:], p.old
	bytes, frames := 0, 0 // that stay
	p.old = 0
	for i := range q.frames {
		frame := rest[:4+binary.BigEndian.Uint32(rest)]
		rest = rest[len(frame):]
		if wantsAnswer(frame) {
			continue
		}
		bytes += copy(q.bytes[bytes:], frame)
		frames++
		if i < int(old) {
			p.old++
		}
	}
	dropped, size := q.frames-frames, len(q.bytes)-q.taken-bytes
	q.bytes, q.taken, q.frames = q.bytes[:bytes], 0, frames
	l.bytes -= size
	l.frames -= dropped
	l.old -= int(old - p.old)
	p.void = 0
	p.session.window.add(-dropped, -size)
	l.gateway.counters.droppedFrames.Add(uint64(dropped))
}

// fits says whether a connection may have one more frame waiting. It may have its share, or half
// of the free room if that is more (dynamic thresholds, Choudhury and Hahne, 1998). So each may
// have less if many have much waiting, some room is always left, and a connection with nothing
// waiting finds room for a short message whatever others have.
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
	l.longest = max(l.longest, l.gateway.batches.of(len(frame)))
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
