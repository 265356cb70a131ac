package gateway

import "time"

// parter is a transport that can end its own half of a connection, so that the peer
// finds the end behind CLOSE, and still take what the peer sends.
type parter interface {
	part()
}

// part ends a connection to which everything was written. What the client has sent
// meanwhile is read away, for a bounded time and up to a bound: a socket that is closed
// while bytes are on their way to it answers them with a reset, which may overtake the
// CLOSE in the client. A client that closes ends it at once. One that has not logged in
// holds no place for it. writing is held.
func (s *session) part() {
	p, can := s.transport.(parter)
	if s.parting || !can || !s.known() {
		s.transport.shutdown()
		return
	}
	s.parting = true
	p.part()
	time.AfterFunc(partingTimeout, s.parted)
}

// known says whether the client has logged in.
func (s *session) known() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.entered
}

// parted ends what part has begun.
func (s *session) parted() {
	defer s.survive("parting")
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.parting && !s.released {
		s.transport.shutdown()
	}
}

// ignore takes note of bytes that came after the end; input only.
func (s *session) ignore(n int) {
	if s.ignored += n; s.ignored > partingBytes {
		s.ignored = 0
		s.parted()
	}
}
