package gateway

import "gannet/protocol"

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

// abandon empties a lane whose lists cannot be trusted any more, and closes the
// connections that have something in it, for nobody knows what became of that.
func (l *lane) abandon() {
	for _, s := range l.clear() {
		s.close(protocol.CodeInternal)
	}
}

// clear gives the connections that have lost something. The parts of all, those that
// end just now too, are empty from here on: each is reset when a frame comes for it.
func (l *lane) clear() (lost []*session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.gateway.sessions.all() {
		if s.phase.Load() != phaseOnline {
			continue // it has no parts, or is closed
		}
		p := &s.parts[l.index]
		if _, n := p.waiting(); n > 0 && p.life == l.life {
			lost = append(lost, s)
		}
	}
	l.life++
	l.waiting, l.ring, l.begun, l.surplus, l.longest = nil, ring{}, false, 0, 0
	l.bytes, l.frames, l.old, l.spare, l.underWay = 0, 0, 0, nil, nil
	return lost
}
