package gateway

import "time"

// answered has the sessions with a reply in the outbox that nobody has been asked
// to write yet, oldest first. When there is much to write, pushes go before
// replies: a backlog then holds up those who receive for less long, and a reply that
// waits may go with a push to the same connection, in one write.
type answered struct {
	list []answer
	next int // the first that waits
}

type answer struct {
	session *session
	since   time.Time
}

func (a *answered) empty() bool { return a.next == len(a.list) }

func (a *answered) add(s *session, now time.Time) {
	if len(a.list) == cap(a.list) && a.next > len(a.list)/2 { // rather than grow for ever
		n := copy(a.list, a.list[a.next:])
		clear(a.list[n:])
		a.list, a.next = a.list[:n], 0
	}
	a.list = append(a.list, answer{session: s, since: now})
}

// take appends those whose reply has to be written now to dst: as many as there
// is room for, and all that have waited for replyPatience.
func (a *answered) take(dst []*session, room int, now time.Time) []*session {
	for !a.empty() {
		first := &a.list[a.next]
		if room <= 0 && now.Sub(first.since) < replyPatience {
			return dst
		}
		if first.session.claim() {
			dst = append(dst, first.session)
			room--
		}
		*first = answer{}
		a.next++
	}
	a.list, a.next = a.list[:0], 0
	return dst
}
