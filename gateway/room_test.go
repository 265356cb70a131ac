package gateway

import (
	"sync/atomic"
	"testing"

	"gannet/internal/hop"
	"gannet/protocol"
)

// paging makes a gateway whose logic answers each query with the largest page, and
// counts them.
func paging(t *testing.T, c Config) (*stage, *atomic.Int32) {
	l := newLogic()
	st := newStage(t, l, c)
	asked := &atomic.Int32{}
	l.does(misdeed{query: func(q *hop.Query) ([]byte, error) {
		asked.Add(1)
		f, _, _ := protocol.Split(q.Frame, protocol.MaxFrame)
		return protocol.Frame{Type: f.Type.Answer(), Request: f.Request, Payload: make([]byte, protocol.MaxFrame-6)}.Append(nil), nil
	}})
	return st, asked
}

func history(first, n int) (frames []byte) {
	for i := range n {
		frames = protocol.History{Target: direct(2)}.AppendFrame(frames, uint32(first+i))
	}
	return frames
}

// Sixteen pages are on their way to a client that reads late: those that have no room
// are asked for once it has read, in order, and every one comes. Twice, since room that
// was given back is room.
func TestPagesWaitForRoom(t *testing.T) {
	st, asked := paging(t, Config{QueryWorkers: 1})
	p := st.login(1)
	p.buffer(128 << 10)
	for range 2 {
		before := asked.Load()
		p.send(history(100, maxQueriesInFlight))
		s := st.sessions.get(p.conn)
		st.eventually("the others wait", func() bool {
			st.settled()
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.wanted > 0 && len(s.parked)+int(asked.Load()-before) == maxQueriesInFlight
		})
		s.mu.Lock()
		if held := s.outbox.paged + s.reserved; held > pageBytes {
			t.Errorf("%d bytes of pages, of at most %d", held, pageBytes)
		}
		s.mu.Unlock()
		answered := map[uint32]bool{} // in any order: SYNC and HISTORY promise none
		for range maxQueriesInFlight {
			f := p.next()
			if f.Type != protocol.TypeMessages || answered[f.Request] || f.Request < 100 || f.Request >= 100+maxQueriesInFlight || len(f.Payload) != protocol.MaxFrame-6 {
				t.Fatalf("came %v to %d, want MESSAGES to each request once", f.Type, f.Request)
			}
			answered[f.Request] = true
		}
	}
	p.alive()
}

// The same for a client that reads at once, and workers that ask all at once.
func TestPagesForAClientThatReads(t *testing.T) {
	st, _ := paging(t, Config{QueryWorkers: maxQueriesInFlight})
	p := st.login(1)
	for range 20 {
		p.send(history(1, maxQueriesInFlight))
		seen := map[uint32]bool{}
		for range maxQueriesInFlight {
			f := p.next()
			if f.Type != protocol.TypeMessages || seen[f.Request] || f.Request < 1 || f.Request > maxQueriesInFlight {
				t.Fatalf("came %v to %d", f.Type, f.Request)
			}
			seen[f.Request] = true
		}
	}
}

// A client that reads nothing while a full window of its frames is answered, with the
// longest of the usual answers, gets every answer when it reads.
func TestWindowThatIsReadLate(t *testing.T) {
	l := newLogic()
	l.answer = func(r request) []byte { // as long as unavailable, but final
		f := protocol.Failure{Code: protocol.CodeBadTarget, Text: []byte(protocol.CodeUnavailable.Meaning())}
		return f.AppendError(nil, r.Frame.Request)
	}
	st := newStage(t, l, Config{})
	p := st.login(1)
	flood(st, p)
	var frames []byte
	for i := range uint64(maxWritesInFlight) {
		frames = append(frames, sendFrame(2, i+1, "x")...)
	}
	p.send(frames)
	st.eventually("all are answered", func() bool { return len(l.requests()) == maxWritesInFlight })
	st.settled()
	st.turn(blockedGrace + tick)
	for answered := uint32(0); answered < maxWritesInFlight; {
		switch f := p.next(); f.Type {
		case protocol.TypePush, protocol.TypeHint: // of the flood
		case protocol.TypeError:
			if answered++; f.Request != answered {
				t.Fatalf("came the answer to %d, want %d", f.Request, answered)
			}
		default:
			t.Fatalf("after %d answers came %v", answered, f.Type)
		}
	}
	p.alive()
}

// reserve is what queries do before they ask logic for a page.
func (s *session) reserve(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reserveLocked(n)
}

// Beyond the budget of all outboxes there is room for one page at a time, and none
// behind a socket that is blocked; a client that reads gets page after page.
func TestRoomBeyondTheBudget(t *testing.T) {
	p := newParked(t)
	p.write()
	s := p.s
	p.memory.used.Add(DefaultOutboxMemory)
	defer p.memory.used.Add(-DefaultOutboxMemory)
	if !s.reserve(maxReply) || s.reserve(1) {
		t.Fatal("want room for one page")
	}
	s.settle(maxReply, make([]byte, 100)) // a reply that is smaller
	if s.reserve(maxReply) {
		t.Fatal("room for a page behind one that waits")
	}
	p.write()
	if !s.reserve(maxReply) {
		t.Fatal("no room once it has gone out")
	}
	s.settle(maxReply, nil)
	p.socket.full = true
	s.reply(protocol.AppendEmpty(nil, protocol.TypePong, 1))
	p.write()
	if s.reserve(maxReply) {
		t.Fatal("room for a page behind a socket that is blocked")
	}
	p.memory.used.Add(-DefaultOutboxMemory)
	n := 0
	for s.reserve(maxReply) {
		n++
	}
	if n != pageBytes/maxReply {
		t.Errorf("room for %d pages within the budget", n)
	}
	p.memory.used.Add(DefaultOutboxMemory)
}
