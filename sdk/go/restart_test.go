package gannet

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"gannet/protocol"
)

// TestManyRestarts crashes a client with a store again and again while it sends
// and receives: whatever it took gets out once, and each life receives on from
// where the one before was, give or take the last messages.
func TestManyRestarts(t *testing.T) {
	const lives, sends, texts = 15, 10, 300
	s := newServer(t)
	dir := t.TempDir()
	alice := join(t, s, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range texts {
			if _, err := alice.Send(testContext(t), Group(9), Text(fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		}
	})
	received, taken := uint64(0), 0
	live := func(enough func(d *diary) bool) *Client {
		store := openStore(t, dir)
		defer store.Close()
		d := newDiary()
		bob := join(t, s, 2, WithStore(store), WithHandler(d.handler()))
		for range sends {
			post(t, bob, User(3), fmt.Sprint(taken))
			taken++
		}
		d.until(t, "enough", func() bool { return enough(d) })
		crash(bob)
		for i, m := range d.messages {
			if i == 0 && m.Seq > received+1 || i > 0 && m.Seq != d.messages[i-1].Seq+1 {
				t.Errorf("message %d of this life has seq %d, after %d in the one before", i, m.Seq, received)
			}
			received = max(received, m.Seq)
		}
		return bob
	}
	for range lives {
		some := rand.IntN(5)
		live(func(d *diary) bool { return received == texts || len(d.messages) >= some })
	}
	wg.Wait()
	live(func(d *diary) bool {
		n := len(d.messages)
		return received == texts || n > 0 && d.messages[n-1].Seq == texts
	})
	store := openStore(t, dir)
	defer store.Close()
	bob := join(t, s, 2, WithStore(store))
	if err := bob.Close(testContext(t)); err != nil { // waits for what is not acked
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := s.conversations[User(3).wire().Conversation(2)].messages
	if len(sent) != taken {
		t.Fatalf("%d messages got out, %d were taken", len(sent), taken)
	}
	for i, m := range sent {
		if string(m.Body) != fmt.Sprint(i) {
			t.Errorf("message %d says %s", i, m.Body)
		}
	}
}

func TestRestartResendsUnackedUnderTheSameID(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	store := openStore(t, dir)
	alice := join(t, s, 1, WithStore(store))
	s.settled(t, alice)
	s.play(func(p *peer, f protocol.Frame) bool { return f.Type == protocol.TypeSend && p.login == 1 })
	for _, text := range []string{"1", "2"} {
		post(t, alice, User(2), text)
	}
	s.until("SENDs", func() bool { return s.count(protocol.TypeSend) == 2 })
	crash(alice)
	store.Close()

	store = openStore(t, dir)
	again := join(t, s, 1, WithStore(store))
	if again.Device() != alice.Device() {
		t.Errorf("device %d, before %d", again.Device(), alice.Device())
	}
	if ack, err := again.Send(testContext(t), User(2), Text("3")); err != nil || ack.Seq != 3 {
		t.Errorf("ack %+v, %v", ack, err)
	}
	first, second := s.sends(1), s.sends(2)
	if len(second) != 3 || second[0].ClientID != first[0].ClientID || second[1].ClientID != first[1].ClientID ||
		second[2].ClientID <= second[1].ClientID || string(second[0].Body) != "1" {
		t.Errorf("sent %+v, then %+v", first, second)
	}
	if err := again.Close(testContext(t)); err != nil {
		t.Error(err)
	}
	if left := again.journal.saved.taken; len(left) != 0 {
		t.Errorf("the store keeps %v", left)
	}
}

func TestRestartRepeatsNothingReceived(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	store := openStore(t, dir)
	d := newDiary()
	bob := join(t, s, 2, WithStore(store), WithHandler(d.handler()))
	s.say(1, User(2), "1")
	s.say(1, User(2), "2")
	d.expect(t, "1", "2")
	s.until("PUSHACK", func() bool { return s.delivered(2, pair) == 2 })
	crash(bob)
	store.Close()

	s.whisper(1, User(2), "3")
	s.mu.Lock()
	s.conversation(pair).delivered[2] = 3 // by another device: this one has not seen it
	s.mu.Unlock()
	d = newDiary()
	join(t, s, 2, WithStore(openStore(t, dir)), WithHandler(d.handler()))
	d.expect(t, "3")
}
