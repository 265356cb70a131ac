package gannet

import (
	"fmt"
	"testing"

	"gannet/protocol"
)

func TestDuplicatePushIsDeliveredOnceAndAckedAgain(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	c := join(t, s, 2, WithHandler(d.handler()))
	m := s.whisper(1, User(2), "once")
	s.emit(m.AppendFrame(nil))
	s.until("PUSHACK", func() bool { return s.count(protocol.TypePushAck) == 1 })
	s.emit(m.AppendFrame(nil))
	s.until("another PUSHACK", func() bool { return s.count(protocol.TypePushAck) == 2 })
	s.settled(t, c)
	d.expect(t, "once")
}

func TestPushesOutOfOrder(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	join(t, s, 2, WithHandler(d.handler()))
	// A HISTORY that the gap may cause is never answered, so only the stash helps.
	s.play(func(_ *peer, f protocol.Frame) bool { return f.Type == protocol.TypeHistory })
	one, two, three := s.whisper(1, User(2), "1"), s.whisper(1, User(2), "2"), s.whisper(1, User(2), "3")
	for _, m := range []protocol.Message{three, two, three, one} {
		s.emit(m.AppendFrame(nil))
	}
	d.expect(t, "1", "2", "3")
}

func TestGapIsFetched(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	join(t, s, 2, WithHandler(d.handler()))
	var want []string
	for i := range 11 { // some pages
		want = append(want, fmt.Sprint(i))
		s.whisper(1, User(2), fmt.Sprint(i))
	}
	s.say(1, User(2), "last")
	d.expect(t, append(want, "last")...)
	s.until("PUSHACK of all", func() bool { return s.delivered(2, pair) == 12 })
}

func TestHint(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	join(t, s, 2, WithHandler(d.handler()))
	s.whisper(1, User(2), "1")
	m := s.whisper(1, User(2), "2")
	s.emit(protocol.Cursor{Target: User(1).wire(), Seq: m.Seq}.AppendHint(nil))
	d.expect(t, "1", "2")
}

func TestHintOfEverything(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	join(t, s, 2, WithHandler(d.handler()))
	s.until("the first sync", func() bool { return s.count(protocol.TypeSync) == 1 })
	s.whisper(1, User(2), "direct")
	s.whisper(1, Group(9), "group")
	s.emit(protocol.Cursor{}.AppendHint(nil))
	d.until(t, "both", func() bool { return len(d.messages) == 2 })
}

func TestHoles(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	join(t, s, 2, WithHandler(d.handler()))
	s.play(func(_ *peer, f protocol.Frame) bool { return f.Type == protocol.TypeHistory })
	s.say(1, User(2), "1")
	s.hole(pair, 2)
	m := s.whisper(1, User(2), "4")
	s.emit(m.AppendFrame(nil)) // overtakes the announcement
	s.emit(protocol.Range{Target: User(1).wire(), First: 2, Last: 3}.AppendHole(nil))
	d.expect(t, "1", "4")
	s.until("PUSHACK over the hole", func() bool { return s.delivered(2, pair) == 4 })
}

func TestHoleInHistory(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	join(t, s, 2, WithHandler(d.handler()))
	s.whisper(1, User(2), "1")
	s.hole(pair, 3)
	s.whisper(1, User(2), "5")
	s.hole(pair, 1)
	s.emit(protocol.Cursor{Target: User(1).wire(), Seq: 6}.AppendHint(nil))
	s.until("PUSHACK over both holes", func() bool { return s.delivered(2, pair) == 6 })
	d.expect(t, "1", "5")
	s.say(1, User(2), "7")
	d.expect(t, "1", "5", "7")
	if n := s.seen(protocol.TypeHistory); n != 1 {
		t.Errorf("%d HISTORY requests, want one", n)
	}
}

func TestPushThatOvertakesAnOwnAckIsNoGap(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	alice := join(t, s, 1, WithHandler(d.handler()))
	s.settled(t, alice)
	s.play(func(p *peer, f protocol.Frame) bool {
		switch f.Type {
		case protocol.TypeSend: // the answer of the peer arrives before the ack
			in := decode[protocol.Send](t, f.Payload)
			m, _ := s.store(protocol.Message{Target: in.Target, Sender: 1, Device: p.device, ClientID: in.ClientID, Body: in.Body})
			s.push(s.keep(2, User(1), "answer"))
			p.write(protocol.SendAck{ClientID: m.ClientID, Seq: m.Seq, Time: m.Time}.AppendFrame(nil, f.Request))
			return true
		}
		return false
	})
	ack, err := alice.Send(testContext(t), User(2), Text("question"))
	if err != nil || ack.Seq != 1 {
		t.Fatal(ack, err)
	}
	d.expect(t, "answer")
	s.settled(t, alice)
	if n := s.seen(protocol.TypeHistory); n != 0 {
		t.Errorf("%d HISTORY requests, want none", n)
	}
}

func TestOwnAckThatOvertakesAPushIsNoGap(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	alice := join(t, s, 1, WithHandler(d.handler()))
	s.settled(t, alice)
	m := s.whisper(2, User(1), "on its way")
	ack, err := alice.Send(testContext(t), User(2), Text("meanwhile"))
	if err != nil || ack.Seq != 2 {
		t.Fatal(ack, err)
	}
	s.settled(t, alice)
	s.emit(m.AppendFrame(nil))
	s.say(2, User(1), "after")
	d.expect(t, "on its way", "after")
	if n := s.seen(protocol.TypeHistory); n != 0 {
		t.Errorf("%d HISTORY requests, want none", n)
	}
}

func TestGapThatOwnMessagesDoNotExplainIsFetched(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	alice := join(t, s, 1, WithHandler(d.handler()))
	s.settled(t, alice)
	s.play(func(_ *peer, f protocol.Frame) bool { return f.Type == protocol.TypeSend })
	post(t, alice, User(2), "never answered")
	s.until("SEND", func() bool { return s.count(protocol.TypeSend) == 1 })
	s.whisper(2, User(1), "1")
	s.whisper(2, User(1), "2")
	s.say(2, User(1), "3")
	d.expect(t, "1", "2", "3")
}

func TestStashIsBounded(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	c := join(t, s, 2, WithHandler(d.handler()))
	// History is slow: its answer is let go at the end.
	var asked []protocol.Frame
	var who *peer
	s.play(func(p *peer, f protocol.Frame) bool {
		if f.Type == protocol.TypeHistory {
			asked, who = append(asked, f), p
			return true
		}
		return false
	})
	want := []string{"0"}
	s.whisper(1, User(2), "0")
	for i := range 2 * maxStash {
		want = append(want, fmt.Sprint(i+1))
		s.say(1, User(2), fmt.Sprint(i+1))
	}
	s.settled(t, c)
	s.play(nil)
	s.mu.Lock()
	for _, f := range asked {
		s.answer(who, f)
	}
	s.mu.Unlock()
	d.expect(t, want...)
}

func TestHistoryThatIsBusyIsAskedAgain(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	join(t, s, 2, WithHandler(d.handler()))
	s.play(func(p *peer, f protocol.Frame) bool {
		if f.Type == protocol.TypeHistory && s.count(protocol.TypeHistory) < 3 {
			p.write(protocol.Failure{Code: protocol.CodeBusy, RetryAfter: 1}.AppendError(nil, f.Request))
			return true
		}
		return false
	})
	s.whisper(1, User(2), "1")
	s.say(1, User(2), "2")
	d.expect(t, "1", "2")
}

func TestHistoryWithoutAccessEndsTheGap(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	join(t, s, 2, WithHandler(d.handler()))
	s.play(func(p *peer, f protocol.Frame) bool {
		if f.Type == protocol.TypeHistory {
			p.write(protocol.Failure{Code: protocol.CodeBadTarget}.AppendError(nil, f.Request))
		}
		return f.Type == protocol.TypeHistory
	})
	s.whisper(1, Group(9), "not for 2")
	s.say(1, Group(9), "for 2")
	d.expect(t, "for 2")
}

func TestPushAcksAreBundled(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	join(t, s, 2, WithHandler(d.handler()))
	const n = 200
	var burst []byte
	for i := range n {
		m := s.whisper(1, User(2), fmt.Sprint(i))
		burst = m.AppendFrame(burst)
	}
	s.emit(burst)
	s.until("PUSHACK of all", func() bool { return s.delivered(2, pair) == n })
	if acks := s.seen(protocol.TypePushAck); acks > n/4 {
		t.Errorf("%d PUSHACKs for %d messages of one write", acks, n)
	}
}

func TestPushAckThatIsBusyIsRepeated(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	join(t, s, 2, WithHandler(d.handler()))
	s.play(func(p *peer, f protocol.Frame) bool {
		if f.Type == protocol.TypePushAck && s.count(protocol.TypePushAck) == 1 {
			p.write(protocol.Failure{Code: protocol.CodeBusy, RetryAfter: 1}.AppendError(nil, f.Request))
			return true
		}
		return false
	})
	s.say(1, User(2), "1")
	s.until("PUSHACK", func() bool { return s.delivered(2, pair) == 1 })
}

func TestLargeBodiesAndSplitFrames(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	c := join(t, s, 2, WithHandler(d.handler()))
	s.settled(t, c) // nothing else is written in the middle of a frame
	var stream []byte
	var want []string
	for i, size := range []int{0, 1, smallBuffer, protocol.MaxBody, 3, protocol.MaxBody, 100} {
		body := make([]byte, size)
		for k := range body {
			body[k] = byte(i + k)
		}
		want = append(want, string(body))
		m := s.whisper(1, User(2), string(body))
		stream = m.AppendFrame(stream)
	}
	for len(stream) > 0 {
		n := min(len(stream), 1777)
		s.emit(stream[:n])
		stream = stream[n:]
	}
	d.until(t, "all", func() bool { return len(d.messages) == len(want) })
	for i, m := range d.messages {
		if m.Text() != want[i] {
			t.Errorf("body %d differs: %d bytes, want %d", i, len(m.Body), len(want[i]))
		}
	}
}

func TestFramesOfANewerServerAreLeftAlone(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	join(t, s, 2, WithHandler(d.handler()))
	s.emit(protocol.Frame{Type: 0xD7, Payload: []byte("?")}.Append(nil))
	s.say(1, User(2), "1")
	d.expect(t, "1")
}
