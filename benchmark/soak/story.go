package soak

import "fmt"

// message names a message: ids are the sender's.
type message struct {
	sender, id uint64
}

// story is what a diary tells of one client.
type story struct {
	user     uint64
	lives    int
	offered  map[uint64]bool
	taken    map[uint64]bool
	acked    map[uint64]uint64   // seq by id
	seqs     map[message]uint64  // of what was received
	done     map[message]bool    // handled to the end at least once
	begun    map[message]*handed // how it was last given to the app
	last     message             // begun last, in this life
	highest  map[uint64]uint64   // seq, by sender
	caughtUp bool                // in this life
	closed   bool                // in order, at the end of the last life
	again    int                 // came again because the app had sent them back
	twice    int                 // came again because the app had died over them
	late     int                 // of those, what the app was through with
	faults   []string
}

// handed is how a message was given to an app.
type handed struct {
	life int
	open bool // the app may get it again in a later life: it died over this one
	back bool // the app sent it back
}

func (s *story) faultf(format string, args ...any) {
	s.faults = append(s.faults, fmt.Sprintf("user %d: ", s.user)+fmt.Sprintf(format, args...))
}

// tell reads the story out of a diary.
func tell(user uint64, lines []line) *story {
	s := &story{
		user: user, offered: map[uint64]bool{}, taken: map[uint64]bool{}, acked: map[uint64]uint64{},
		seqs: map[message]uint64{}, done: map[message]bool{}, begun: map[message]*handed{}, highest: map[uint64]uint64{},
	}
	for _, l := range lines {
		id := l.numbers[0]
		m := message{l.numbers[0], l.numbers[1]}
		switch l.what {
		case life:
			s.lives++
			s.last, s.caughtUp, s.closed = message{}, false, false
		case offered:
			s.offered[id] = true
		case taken:
			s.taken[id] = true
		case acked:
			if seq, ok := s.acked[id]; ok && seq != l.numbers[1] {
				s.faultf("message %d was acked at seq %d and at %d", id, seq, l.numbers[1])
			}
			s.acked[id] = l.numbers[1]
		case lost:
			s.faultf("message %d has no place: %s", id, l.words)
		case begun:
			s.begin(m, l.numbers[2])
		case refused:
			if h := s.begun[m]; h != nil {
				h.back = true
			}
		case done:
			s.done[m] = true
		case caughtUp:
			s.caughtUp = true
		case closed:
			s.closed = true
			if h := s.begun[s.last]; h != nil {
				h.open = false
			}
		case trouble:
			s.faultf("%s", l.words)
		}
	}
	return s
}

// begin takes in that a message was given to the app. It may come a second time where the
// app sent it back, and where the app died over it: it was the last that this life of the
// app was given. Handling lasts until the client has heard that it is over and written it
// down, which is before it gives the app the next one.
func (s *story) begin(m message, seq uint64) {
	h := s.begun[m]
	switch {
	case h == nil:
		if seq <= s.highest[m.sender] {
			s.faultf("message %d of user %d has seq %d and came after seq %d", m.id, m.sender, seq, s.highest[m.sender])
		}
		s.highest[m.sender] = seq
	case h.back:
		s.again++
	case h.life < s.lives && h.open:
		s.twice++
		if s.done[m] {
			s.late++
		}
	default:
		s.faultf("message %d of user %d came a second time in life %d; it was given out in life %d, which did not end over it", m.id, m.sender, s.lives, h.life)
	}
	if was, ok := s.seqs[m]; ok && was != seq {
		s.faultf("message %d of user %d has seq %d and seq %d", m.id, m.sender, was, seq)
	}
	if before := s.begun[s.last]; before != nil && s.last != m {
		before.open = false
	}
	s.seqs[m], s.last = seq, m
	s.begun[m] = &handed{life: s.lives, open: true}
}
