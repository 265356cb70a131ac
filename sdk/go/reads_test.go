package gannet

import (
	"errors"
	"testing"

	"gannet/protocol"
)

// read gives the read cursor of a user.
func (s *server) read(user uint64, key protocol.Conversation) uint64 {
	return s.conversation(key).read[user]
}

func TestMarkReadSurvivesBeingOffline(t *testing.T) {
	s := newServer(t)
	for range 5 {
		s.whisper(1, User(2), "x")
		s.whisper(3, User(2), "x")
	}
	c, err := New(s.addr(), "user 2")
	if err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint64{2, 4, 3} { // the highest counts
		if err := c.MarkRead(User(1), seq); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(c.MarkRead(User(3), 1), c.Connect(testContext(t)), c.Flush(testContext(t))); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	if one, three := s.read(2, pair), s.read(2, User(3).wire().Conversation(2)); one != 4 || three != 1 || s.count(protocol.TypeRead) != 2 {
		t.Errorf("read up to %d and %d with %d READs", one, three, s.count(protocol.TypeRead))
	}
	s.mu.Unlock()
	s.play(func(p *peer, f protocol.Frame) bool {
		if f.Type == protocol.TypeRead && p.login == 1 { // lost with its connection
			p.conn.Close()
			return true
		}
		return false
	})
	if err := errors.Join(c.MarkRead(User(1), 5), c.Close(testContext(t))); err != nil { // Close waits for it
		t.Fatal(err)
	}
	if s.read(2, pair) != 5 {
		t.Errorf("read up to %d", s.read(2, pair))
	}
	if err := c.MarkRead(User(1), 6); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestMarkReadSurvivesARestart(t *testing.T) {
	s := newServer(t)
	for range 3 {
		s.whisper(1, User(2), "x")
	}
	store := openStore(t, t.TempDir())
	c := join(t, s, 2, WithStore(store))
	s.settled(t, c)
	s.play(func(_ *peer, f protocol.Frame) bool { return f.Type == protocol.TypeRead })
	if err := c.MarkRead(User(1), 3); err != nil {
		t.Fatal(err)
	}
	s.until("READ", func() bool { return s.count(protocol.TypeRead) == 2 }) // settled is one
	crash(c)
	s.play(nil)
	c = join(t, s, 2, WithStore(store))
	if err := errors.Join(c.Flush(testContext(t)), c.Close(testContext(t))); err != nil {
		t.Fatal(err)
	}
	if s.read(2, pair) != 3 {
		t.Errorf("read up to %d", s.read(2, pair))
	}
	if left := c.journal.saved.reads; len(left) != 0 {
		t.Errorf("the store keeps %v", left)
	}
}

func TestMarkReadThatIsRefused(t *testing.T) {
	s := newServer(t)
	s.whisper(1, User(2), "x")
	c := join(t, s, 2)
	s.settled(t, c)
	n := 0
	s.play(func(p *peer, f protocol.Frame) bool {
		if f.Type != protocol.TypeRead {
			return false
		}
		code := protocol.CodeBusy
		switch n++; {
		case decode[protocol.Cursor](t, f.Payload).Target.ID == 3:
			code = protocol.CodeBadTarget
		case n > 3:
			return false
		}
		p.write(protocol.Failure{Code: code, RetryAfter: 1}.AppendError(nil, f.Request))
		return true
	})
	if err := errors.Join(c.MarkRead(User(1), 1), c.MarkRead(User(3), 1), c.Flush(testContext(t))); err != nil {
		t.Fatal(err)
	}
	if s.read(2, pair) != 1 {
		t.Errorf("read up to %d", s.read(2, pair))
	}
}

// More marks than may be under way at once go in parts.
func TestManyReadMarks(t *testing.T) {
	s := newServer(t)
	const conversations = 3*maxReads + 1
	var held []func() // the answers of one part
	released := false
	s.play(func(p *peer, f protocol.Frame) bool {
		if f.Type == protocol.TypeRead && !released {
			held = append(held, func() { s.answer(p, f) })
			return true
		}
		return false
	})
	c := join(t, s, 2)
	for i := range uint64(conversations) {
		s.whisper(10+i, User(2), "x")
		if err := c.MarkRead(User(10+i), 1); err != nil {
			t.Fatal(err)
		}
	}
	s.until("a part", func() bool { return len(held) >= maxReads })
	s.settledBy(t, c, "the first part")
	s.mu.Lock()
	if released = true; len(held) != maxReads {
		t.Errorf("%d READs are under way at once", len(held))
	}
	for _, answer := range held {
		answer()
	}
	s.mu.Unlock()
	if err := c.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(conversations) {
		if n := s.read(2, User(10+i).wire().Conversation(2)); n != 1 {
			t.Errorf("conversation %d: read up to %d", i, n)
		}
	}
}
