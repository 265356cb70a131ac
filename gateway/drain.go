package gateway

import "gannet/protocol"

// mark marks all frames that wait or are under way now. left says how many marked ones are not
// done yet.
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

// markPart marks all waiting frames of a part, unless some are marked already.
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

// abandon empties a lane whose lists cannot be trusted any more. It closes the connections that
// had frames in it, because nobody knows what became of these frames.
func (l *lane) abandon() {
	for _, s := range l.clear() {
		s.close(protocol.CodeInternal)
	}
}

// clear empties the lane and gives the connections that have lost frames. It also empties the
// parts of all connections, even those that are just ending: life changes, and enter resets an
// older part when its next frame comes.
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
