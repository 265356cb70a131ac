package gannet

import (
	"testing"
	"time"

	"gannet/protocol"
)

// This file has what tests do with the server and see of it.

// speaker is the device of everybody whom the tests let speak without a client.
const speaker = 99

// say stores a text of another user and pushes it.
func (s *server) say(from uint64, to Target, text string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.keep(from, to, text)
	s.push(m)
	return m.Seq
}

// whisper stores a text of another user and pushes nothing.
func (s *server) whisper(from uint64, to Target, text string) protocol.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keep(from, to, text)
}

func (s *server) keep(from uint64, to Target, text string) protocol.Message {
	m, _ := s.store(protocol.Message{
		Target: to.wire(), Sender: from, Device: speaker, ClientID: s.tick(), Content: protocol.ContentText, Body: []byte(text),
	})
	return m
}

// hole makes the next n seqs of a conversation ones that never exist.
func (s *server) hole(key protocol.Conversation, n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conversation(key).head += n
}

// emit writes a frame to everybody who is logged in.
func (s *server) emit(frame []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.peers {
		p.write(frame)
	}
}

// cut closes all connections.
func (s *server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.peers {
		p.conn.Close()
	}
}

// play sets the script.
func (s *server) play(script func(p *peer, f protocol.Frame) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = script
}

// until waits until cond, which is called with mu held, is true.
func (s *server) until(what string, cond func() bool) {
	s.t.Helper()
	late := false
	timer := time.AfterFunc(patience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		late = true
		s.changed.Broadcast()
	})
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !cond() {
		if late {
			s.t.Fatalf("waited in vain: %s", what)
		}
		s.changed.Wait()
	}
}

// count gives how many frames of a type arrived. The caller holds mu: it is for
// scripts and until.
func (s *server) count(t protocol.Type) int {
	n := 0
	for _, g := range s.got {
		if g.Type == t {
			n++
		}
	}
	return n
}

// seen is count for who does not hold mu.
func (s *server) seen(t protocol.Type) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count(t)
}

// sends gives the SENDs that arrived with a login.
func (s *server) sends(login int) []protocol.Send {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []protocol.Send
	for _, g := range s.got {
		if g.Type == protocol.TypeSend && g.login == login {
			list = append(list, decode[protocol.Send](s.t, g.Payload))
		}
	}
	return list
}

// delivered gives the delivered cursor of a user.
func (s *server) delivered(user uint64, key protocol.Conversation) uint64 {
	return s.conversation(key).delivered[user]
}

type decoder[T any] interface {
	*T
	Decode([]byte) error
}

func decode[T any, D decoder[T]](t testing.TB, payload []byte) T {
	var v T
	if err := D(&v).Decode(payload); err != nil {
		t.Errorf("the client sends a payload that does not decode: %v", err)
	}
	return v
}
