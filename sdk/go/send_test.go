package gannet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"gannet/protocol"
)

func TestUnackedIsResentInOrderUnderTheSameIDs(t *testing.T) {
	s := newServer(t)
	alice := join(t, s, 1)
	s.settled(t, alice)
	// The first connection takes the messages but never answers.
	s.play(func(p *peer, f protocol.Frame) bool {
		if f.Type == protocol.TypeSend && p.login == 1 {
			in := decode[protocol.Send](t, f.Payload)
			s.store(protocol.Message{Target: in.Target, Sender: 1, Device: p.device, ClientID: in.ClientID, Body: in.Body})
			return true
		}
		return false
	})
	var sent []*Sending
	for i := range 3 {
		sent = append(sent, post(t, alice, User(2), fmt.Sprint(i)))
	}
	s.until("3 SENDs", func() bool { return s.count(protocol.TypeSend) == 3 })
	s.cut()
	for i := range 3 {
		if a, err := sent[i].Wait(testContext(t)); err != nil || a.Seq != uint64(i+1) {
			t.Errorf("ack %d has seq %d, %v", i, a.Seq, err)
		}
	}
	first, again := s.sends(1), s.sends(2)
	if len(again) != 3 {
		t.Fatalf("%d messages resent, want 3", len(again))
	}
	for i := range first {
		if again[i].ClientID != first[i].ClientID || i > 0 && first[i].ClientID <= first[i-1].ClientID {
			t.Errorf("client ids %d then %d", first[i].ClientID, again[i].ClientID)
		}
	}
}

func TestBusySendIsRepeatedBeforeLaterOnes(t *testing.T) {
	s := newServer(t)
	alice := join(t, s, 1)
	s.settled(t, alice)
	s.play(func(p *peer, f protocol.Frame) bool {
		if f.Type == protocol.TypeSend && s.count(protocol.TypeSend) <= 2 {
			p.write(protocol.Failure{Code: protocol.CodeBusy, RetryAfter: 1}.AppendError(nil, f.Request))
			return true
		}
		return false
	})
	first := post(t, alice, User(2), "1")
	for _, text := range []string{"2", "3"} {
		post(t, alice, User(2), text)
	}
	if _, err := first.Wait(testContext(t)); err != nil {
		t.Error(err)
	}
	post(t, alice, User(2), "4") // taken while the others may be under way
	var ids []uint64
	s.until("4 messages", func() bool {
		ids = nil
		for _, m := range s.conversation(pair).messages {
			ids = append(ids, m.ClientID)
		}
		return len(ids) == 4
	})
	last := slices.Max(ids)
	if ids[len(ids)-1] != last {
		t.Errorf("client ids in the order of the seqs: %v", ids)
	}
}

func TestRefusedSend(t *testing.T) {
	s := newServer(t)
	alice := join(t, s, 1)
	s.play(func(p *peer, f protocol.Frame) bool {
		if f.Type == protocol.TypeSend {
			p.write(protocol.Failure{Code: protocol.CodeBadTarget, Text: []byte("who?")}.AppendError(nil, f.Request))
		}
		return f.Type == protocol.TypeSend
	})
	_, err := alice.Send(testContext(t), User(3), Text("?"))
	var refused *Error
	if !errors.As(err, &refused) || refused.Code != CodeBadTarget || refused.Text != "who?" {
		t.Fatalf("error %v", err)
	}
	if alice.State() != StateOnline {
		t.Errorf("state %v", alice.State())
	}
	s.play(nil)
	if _, err := alice.Send(testContext(t), User(2), Text("!")); err != nil {
		t.Error(err)
	}
}

func TestWindow(t *testing.T) {
	s := newServer(t)
	alice := join(t, s, 1, WithWindow(2))
	s.settled(t, alice)
	var held []protocol.Frame
	var who *peer
	s.play(func(p *peer, f protocol.Frame) bool {
		if f.Type == protocol.TypeSend {
			held, who = append(held, f), p
		}
		return f.Type == protocol.TypeSend
	})
	for range 2 {
		post(t, alice, User(2), "x")
	}
	for wait := 10 * time.Millisecond; ; wait *= 2 { // longer if it is over before Post has begun
		soon, stop := context.WithTimeout(context.Background(), wait)
		_, err := alice.Post(soon, User(2), Text("x"))
		stop()
		if errors.Is(err, ErrWindow) && errors.Is(err, context.DeadlineExceeded) {
			break
		}
		if err != context.DeadlineExceeded || wait > time.Minute {
			t.Fatalf("third Post: %v", err)
		}
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := alice.Send(gone, User(2), Text("x")); !errors.Is(err, context.Canceled) {
		t.Fatalf("Send with an ended context: %v", err)
	}
	waiting := make(chan error)
	for range 2 {
		go func() {
			_, err := alice.Send(testContext(t), User(2), Text("x"))
			waiting <- err
		}()
	}
	s.until("2 SENDs", func() bool { return len(held) == 2 })
	s.play(nil)
	s.mu.Lock()
	for _, f := range held {
		s.answer(who, f)
	}
	s.mu.Unlock()
	for range 2 {
		if err := <-waiting; err != nil {
			t.Error(err)
		}
	}
}

func TestServerMayAllowLess(t *testing.T) {
	s := newServer(t)
	var held []protocol.Frame
	var who *peer
	s.play(func(p *peer, f protocol.Frame) bool {
		switch f.Type {
		case protocol.TypeHello:
			s.logins++
			p.user, p.login, p.device = 1, s.logins, 5
			s.peers = append(s.peers, p)
			p.write(protocol.Welcome{Version: 1, User: 1, Heartbeat: 30, MaxUnacked: 2}.AppendFrame(nil, f.Request))
			return true
		case protocol.TypeSend:
			held, who = append(held, f), p
			return true
		}
		return false
	})
	alice := join(t, s, 1)
	for range 5 {
		post(t, alice, User(2), "x")
	}
	s.settled(t, alice)
	s.until("SENDs", func() bool { return len(held) >= 2 })
	s.settled(t, alice)
	s.until("two SENDs", func() bool { return len(held) == 2 })
	s.play(nil)
	s.mu.Lock()
	for _, f := range held {
		s.answer(who, f)
	}
	s.mu.Unlock()
	if err := alice.Close(testContext(t)); err != nil {
		t.Error(err)
	}
	if n := s.seen(protocol.TypeSend); n != 5 {
		t.Errorf("%d SENDs, want 5", n)
	}
}

func TestBodyTooLarge(t *testing.T) {
	s := newServer(t)
	alice := join(t, s, 1)
	_, err := alice.Post(testContext(t), User(2), Draft{Content: ContentText, Body: make([]byte, MaxBody+1)})
	var e *Error
	if !errors.As(err, &e) || e.Code != CodeBodyTooLarge {
		t.Fatalf("error %v", err)
	}
	if _, err := alice.Send(testContext(t), User(2), Draft{Content: ContentText, Body: make([]byte, protocol.MaxBody)}); err != nil {
		t.Errorf("the largest body: %v", err)
	}
}

// Sending before the first sync hides nothing of what was missed.
func TestASendBeforeTheFirstSyncHidesNothing(t *testing.T) {
	s := newServer(t)
	s.whisper(2, User(1), "missed")
	d := newDiary()
	var held []func()
	s.play(func(p *peer, f protocol.Frame) bool {
		if f.Type == protocol.TypeSync {
			held = append(held, func() { s.answer(p, f) })
		}
		return f.Type == protocol.TypeSync
	})
	alice := join(t, s, 1, WithHandler(d.handler()))
	if _, err := alice.Send(testContext(t), User(2), Text("hello")); err != nil {
		t.Fatal(err)
	}
	s.until("SYNC", func() bool { return len(held) == 1 })
	s.play(nil)
	s.mu.Lock()
	held[0]()
	s.mu.Unlock()
	d.expect(t, "missed")
}
