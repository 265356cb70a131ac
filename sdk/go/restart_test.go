package gannet

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
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
