package gannet

import (
	"errors"
	"strings"
	"testing"

	"gannet/protocol"
)

// is makes the server say which one it is.
func (s *server) is(identity string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.identity = identity
}

const someServer, otherServer = "0123456789abcdef", "fedcba9876543210"

func TestAStoreOfSomebodyElseIsRefused(t *testing.T) {
	s := newServer(t)
	s.is(someServer)
	dir := t.TempDir()
	store := openStore(t, dir)
	alice := join(t, s, 1, WithStore(store))
	s.settled(t, alice)
	s.play(func(_ *peer, f protocol.Frame) bool { return f.Type == protocol.TypeSend })
	post(t, alice, User(2), "from alice")
	s.until("SEND", func() bool { return s.count(protocol.TypeSend) == 1 })
	crash(alice)
	store.Close()
	s.play(nil)
	sent := s.seen(protocol.TypeSend)

	for what, test := range map[string]struct {
		token, server string
		opts          []Option
		says          string
	}{
		"another user":   {"user 2", someServer, nil, "user 2"},
		"another server": {"user 1", otherServer, nil, "server"},
		"another device": {"user 1", someServer, []Option{WithDevice(alice.Device() + 1)}, "device"},
	} {
		s.is(test.server)
		store := openStore(t, dir)
		_, err := Dial(testContext(t), s.addr(), test.token, append(test.opts, WithStore(store))...)
		var e *OwnerError
		if !errors.As(err, &e) || e.Kept.User != 1 || e.Kept.Device != alice.Device() || !strings.Contains(e.Error(), test.says) {
			t.Errorf("%s: %v", what, err)
		}
		store.Close()
	}
	if n := s.seen(protocol.TypeSend); n != sent {
		t.Errorf("%d messages of the store were sent by others", n-sent)
	}
	s.is(someServer)
	again := join(t, s, 1, WithStore(openStore(t, dir)))
	if err := again.Flush(testContext(t)); err != nil {
		t.Error(err)
	}
	if m := s.conversations[pair].messages; len(m) != 1 || m[0].Sender != 1 {
		t.Errorf("the server has %v", m)
	}
}

func TestAStoreKnowsItsUserBeforeTheLogin(t *testing.T) {
	s := newServer(t)
	store := openStore(t, t.TempDir())
	crash(join(t, s, 1, WithStore(store)))
	c, err := New(s.addr(), "user 1", WithStore(store))
	if err != nil {
		t.Fatal(err)
	}
	if c.User() != 1 || c.State() != StateIdle {
		t.Errorf("user %d, %v", c.User(), c.State())
	}
	if err := c.Close(testContext(t)); err != nil {
		t.Error(err)
	}
}

// A client without a store that comes back to another server forgets what it received
// from the first one: seqs of another server mean nothing.
func TestAnotherServerBeginsAnew(t *testing.T) {
	s := newServer(t)
	s.is(someServer)
	d := newDiary()
	join(t, s, 2, WithDevice(5), WithHandler(d.handler()))
	for _, text := range []string{"1", "2", "3"} {
		s.say(1, User(2), text)
	}
	d.expect(t, "1", "2", "3")
	s.mu.Lock()
	s.identity = otherServer
	s.conversations = make(map[protocol.Conversation]*kept)
	s.mu.Unlock()
	s.whisper(1, User(2), "first of the other")
	s.cut()
	d.expect(t, "1", "2", "3", "first of the other")
}

func TestAStoreEndsWithItsServer(t *testing.T) {
	s := newServer(t)
	s.is(someServer)
	c := join(t, s, 2, WithStore(openStore(t, t.TempDir())))
	s.is(otherServer)
	s.cut()
	<-c.Done()
	var e *OwnerError
	if !errors.As(c.Err(), &e) || e.Kept.Server == e.Given.Server {
		t.Errorf("error %v", c.Err())
	}
}
