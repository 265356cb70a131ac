package gateway

import "gannet/protocol"

// unacked is a range of pushes of one conversation that the connection has not acked. Only the
// range is kept. Pushes that must go out again come from the store.
type unacked struct {
	target      protocol.Target // as the receiver addresses it
	first, last uint64
	pushes      uint8
	due         int64 // tick at which the range is pushed again or given up
}

// track notes a push. The caller holds s.mu.
func (s *session) track(t protocol.Target, seq uint64, now int64) {
	for i := range s.unacked {
		if u := &s.unacked[i]; u.target == t {
			u.first, u.last = min(u.first, seq), max(u.last, seq)
			return
		}
	}
	if len(s.unacked) == maxUnackedConversations {
		oldest := s.unacked[0]
		s.unacked = append(s.unacked[:0], s.unacked[1:]...)
		s.outbox.hint(oldest.target, oldest.last)
		s.gateway.counters.pushUntracked.Add(1)
	}
	s.unacked = append(s.unacked, unacked{target: t, first: seq, last: seq, pushes: 1, due: now + pushAckTicks})
}

// acked notes a PUSHACK.
func (s *session) acked(t protocol.Target, seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.unacked {
		u := &s.unacked[i]
		if u.target != t || seq < u.first {
			continue
		}
		if seq < u.last {
			u.first, u.pushes, u.due = seq+1, 1, s.gateway.wheel.now()+pushAckTicks
			return
		}
		last := len(s.unacked) - 1
		s.unacked[i] = s.unacked[last]
		if s.unacked = s.unacked[:last]; last == 0 && cap(s.unacked) > 4 {
			s.unacked = nil
		}
		return
	}
}

// overdue takes out the ranges that must be pushed again now, and gives up those that were pushed
// often enough. next is when to look again; 0: nothing waits. Ranges that wait behind a blocked
// socket are not pushed again; they become hints. The caller holds s.mu.
func (s *session) overdue(now int64) (next int64, again []protocol.Range) {
	kept := s.unacked[:0]
	for _, u := range s.unacked {
		if u.due <= now {
			if s.outbox.blocked {
				s.gateway.counters.pushBlocked.Add(1)
				s.outbox.hint(u.target, u.last)
				continue
			}
			if u.pushes == protocol.MaxPushes {
				s.gateway.counters.pushGivenUp.Add(1)
				continue
			}
			u.pushes++
			u.due = now + pushAckTicks
			again = append(again, protocol.Range{Target: u.target, First: u.first, Last: u.last})
			s.gateway.counters.pushAgain.Add(1)
		}
		if next == 0 || u.due < next {
			next = u.due
		}
		kept = append(kept, u)
	}
	clear(s.unacked[len(kept):])
	s.unacked = kept
	return next, again
}
