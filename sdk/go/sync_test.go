package gannet

import (
	"fmt"
	"slices"
	"testing"

	"gannet/protocol"
)

func TestWhatWasMissedArrivesAtLogin(t *testing.T) {
	s := newServer(t)
	const conversations, each = 7, 6 // more than fetches at once, and some pages
	for i := range conversations {
		for k := range each {
			s.whisper(uint64(10+i), User(2), fmt.Sprint(k))
		}
	}
	d := newDiary()
	join(t, s, 2, WithHandler(d.handler()))
	d.until(t, "all", func() bool { return len(d.messages) == conversations*each })
	next := map[Target]uint64{}
	for _, m := range d.messages {
		if next[m.Conversation]++; m.Seq != next[m.Conversation] {
			t.Errorf("%v: seq %d, want %d", m.Conversation, m.Seq, next[m.Conversation])
		}
	}
}

func TestWithoutMemoryReceivingBeginsAfterWhatWasDelivered(t *testing.T) {
	s := newServer(t)
	for i := range 5 {
		s.whisper(1, User(2), fmt.Sprint(i+1))
	}
	s.mu.Lock()
	s.conversation(pair).delivered[2] = 3
	s.mu.Unlock()
	d := newDiary()
	join(t, s, 2, WithHandler(d.handler()))
	d.expect(t, "4", "5")
}

func TestPushDuringTheFirstSyncWaitsForIt(t *testing.T) {
	s := newServer(t)
	s.whisper(1, User(2), "1")
	s.play(func(_ *peer, f protocol.Frame) bool {
		if f.Type == protocol.TypeSync { // before the answer
			s.push(s.keep(1, User(2), "2"))
			s.push(s.keep(3, User(2), "from 3"))
		}
		return false
	})
	d := newDiary()
	join(t, s, 2, WithHandler(d.handler()))
	d.until(t, "all", func() bool { return len(d.messages) >= 3 })
	texts := d.texts()
	if slices.Index(texts, "1") > slices.Index(texts, "2") || !slices.Contains(texts, "from 3") || len(texts) != 3 {
		t.Errorf("received %v", texts)
	}
}

func TestReconnectBringsWhatWasMissedOnce(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	c := join(t, s, 2, WithHandler(d.handler()))
	s.say(1, User(2), "1")
	d.expect(t, "1")
	s.settled(t, c)
	s.play(func(p *peer, f protocol.Frame) bool {
		if f.Type == protocol.TypeHello && s.logins == 1 {
			s.keep(1, User(2), "2")
			s.keep(1, User(2), "3")
			s.keep(3, User(2), "new")
		}
		return false
	})
	s.cut()
	d.until(t, "all", func() bool { return len(d.messages) >= 4 })
	s.settled(t, c)
	var texts []string
	for _, m := range d.messages {
		if m.Sender == 1 {
			texts = append(texts, m.Text())
		}
	}
	if want := []string{"1", "2", "3"}; !slices.Equal(texts, want) || len(d.messages) != 4 {
		t.Errorf("received %v", d.texts())
	}
}

func TestSyncAsksOnlyForWhatChanged(t *testing.T) {
	s := newServer(t)
	var syncs []protocol.Sync
	s.play(func(_ *peer, f protocol.Frame) bool {
		if f.Type == protocol.TypeSync {
			syncs = append(syncs, decode[protocol.Sync](t, f.Payload))
		}
		return false
	})
	s.whisper(1, User(2), "1")
	d := newDiary()
	c := join(t, s, 2, WithHandler(d.handler()))
	d.expect(t, "1")
	s.until("PUSHACK", func() bool { return s.delivered(2, pair) == 1 })
	s.settled(t, c)
	s.cut()
	s.until("another SYNC", func() bool { return len(syncs) == 2 })
	if syncs[0].Since != 0 || syncs[1].Since == 0 {
		t.Errorf("since %d, then %d", syncs[0].Since, syncs[1].Since)
	}
}

func TestPositionWaitsForWhatSyncNamed(t *testing.T) {
	s := newServer(t)
	var syncs []protocol.Sync
	s.play(func(p *peer, f protocol.Frame) bool {
		if f.Type == protocol.TypeSync {
			syncs = append(syncs, decode[protocol.Sync](t, f.Payload))
		}
		return f.Type == protocol.TypeHistory && p.login == 1
	})
	s.whisper(1, User(2), "1")
	d := newDiary()
	join(t, s, 2, WithHandler(d.handler()))
	s.until("HISTORY", func() bool { return s.count(protocol.TypeHistory) == 1 })
	s.cut() // before its answer
	d.expect(t, "1")
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(syncs) != 2 || syncs[1].Since != 0 {
		t.Errorf("SYNCs %+v", syncs)
	}
}

func TestBusySyncIsAskedAgain(t *testing.T) {
	s := newServer(t)
	s.whisper(1, User(2), "1")
	s.play(func(p *peer, f protocol.Frame) bool {
		if f.Type == protocol.TypeSync && s.count(protocol.TypeSync) < 3 {
			p.write(protocol.Failure{Code: protocol.CodeUnavailable, RetryAfter: 1}.AppendError(nil, f.Request))
			return true
		}
		return false
	})
	d := newDiary()
	join(t, s, 2, WithHandler(d.handler()))
	d.expect(t, "1")
}

func TestLostPushAckIsRepeatedAtTheNextLogin(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	join(t, s, 2, WithHandler(d.handler()))
	s.play(func(p *peer, f protocol.Frame) bool { return f.Type == protocol.TypePushAck && p.login == 1 })
	s.say(1, User(2), "1")
	s.until("a PUSHACK", func() bool { return s.count(protocol.TypePushAck) == 1 })
	s.cut()
	s.until("the delivered cursor", func() bool { return s.delivered(2, pair) == 1 })
}

// A device that stores nothing and starts again goes on where its own acks ended,
// also when it answered before it had received what came earlier.
func TestADeviceWithoutAStoreGoesOnWhereItsAcksEnded(t *testing.T) {
	s := newServer(t)
	bot := func(d *diary) *Client { return join(t, s, 1, WithDevice(5), WithHandler(d.handler())) }
	first := newDiary()
	s.whisper(2, User(1), "one")
	c := bot(first)
	first.expect(t, "one")
	s.until("PUSHACK", func() bool {
		return s.conversations[User(2).wire().Conversation(1)].acked[[2]uint64{1, 5}] == 1
	})
	if err := c.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"two", "three", "four"} {
		s.whisper(2, User(1), text)
	}
	// A life of the device that sends and is gone before anything comes.
	s.play(func(p *peer, f protocol.Frame) bool {
		return f.Type == protocol.TypeSync || f.Type == protocol.TypePushAck
	})
	c = bot(newDiary())
	if _, err := c.Send(testContext(t), User(2), Text("answer")); err != nil {
		t.Fatal(err)
	}
	c.Close(testContext(t))
	s.play(nil)
	second := newDiary()
	bot(second)
	second.expect(t, "two", "three", "four")
}
