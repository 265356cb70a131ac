package gannet

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"gannet/protocol"
)

var chaosSeed = flag.Uint64("chaos.seed", 0, "seed of TestChaos; 0 takes a new one")

// chaos is a network and a server on a bad day: pushes get lost, come twice and
// overtake each other, requests are refused for a while or their answers lost,
// connections break. Its methods are called with server.mu held.
type chaos struct {
	rng  *rand.Rand
	late map[*peer][][]byte // pushes that others may overtake
	calm bool
}

func (x *chaos) one(in int) bool { return !x.calm && x.rng.IntN(in) == 0 }

func (x *chaos) carry(p *peer, frame []byte) {
	switch {
	case x.one(20): // lost
	case x.one(8):
		x.late[p] = append(x.late[p], frame)
	default:
		p.write(frame)
		if x.one(10) {
			p.write(frame)
		}
		if x.one(3) {
			for _, late := range x.late[p] {
				p.write(late)
			}
			delete(x.late, p)
		}
	}
}

func (x *chaos) script(s *server, p *peer, f protocol.Frame) bool {
	switch {
	case f.Type == protocol.TypeHello:
		if x.one(5) {
			p.close(protocol.Failure{Code: protocol.CodeLoginUnavailable})
			return true
		}
		return false
	case x.one(400):
		p.conn.Close() // and the request is lost
		return true
	case x.one(400):
		s.answer(p, f)
		p.conn.Close() // its answer may get lost
		return true
	case x.one(30):
		p.write(protocol.Failure{Code: protocol.CodeBusy, RetryAfter: 1}.AppendError(nil, f.Request))
		return true
	case x.one(200):
		p.close(protocol.Failure{Code: protocol.CodeDraining})
		return true
	}
	return false
}

// TestChaos holds the promises of the client against all of that: every message
// taken has one place, and every device receives every message of others in
// order, without gaps, once.
func TestChaos(t *testing.T) {
	seed := *chaosSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("again with: -run TestChaos -chaos.seed %d", seed)
	s := newServer(t)
	x := &chaos{rng: rand.New(rand.NewPCG(seed, 0)), late: map[*peer][][]byte{}, calm: true}
	s.script = func(p *peer, f protocol.Frame) bool { return x.script(s, p, f) }
	s.carry = x.carry

	// Three users, the first with two devices; the last reads with a slow loop.
	const each = 300
	users := []uint64{1, 1, 2, 3}
	var clients []*Client
	var diaries []*diary
	loops, end := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i, user := range users {
		d := newDiary()
		diaries = append(diaries, d)
		if i < len(users)-1 {
			clients = append(clients, join(t, s, user, WithHandler(d.handler())))
			continue
		}
		c := join(t, s, user)
		clients = append(clients, c)
		note := d.handler().Message
		wg.Go(func() {
			for m, err := range c.Messages(loops) {
				if err != nil {
					t.Error(err)
				}
				note(loops, c, m)
			}
		})
	}
	for _, c := range clients {
		s.settled(t, c)
	}
	s.mu.Lock()
	x.calm = false
	s.mu.Unlock()

	var senders sync.WaitGroup
	for i, c := range clients {
		rng := rand.New(rand.NewPCG(seed, uint64(i+1)))
		senders.Go(func() {
			for k := range each {
				to := User(uint64(1 + rng.IntN(3)))
				if rng.IntN(3) == 0 {
					to = Group(9)
				}
				if _, err := c.Send(testContext(t), to, Text(fmt.Sprint(i, " ", k))); err != nil {
					t.Error(err)
				}
				for rng.IntN(2) == 0 {
					burst, err := c.Post(testContext(t), to, Text("burst"))
					if err != nil {
						t.Error(err)
						continue
					}
					senders.Go(func() {
						if _, err := burst.Wait(testContext(t)); err != nil {
							t.Error(err)
						}
					})
				}
			}
		})
	}
	senders.Wait()
	s.mu.Lock()
	x.calm = true
	s.mu.Unlock()
	// What was lost for good is named once more, as a server would sooner or later.
	s.emit(protocol.Cursor{}.AppendHint(nil))

	for i, c := range clients {
		want := s.owed(users[i], c.Device())
		total := 0
		for _, list := range want {
			total += len(list)
		}
		diaries[i].until(t, fmt.Sprintf("client %d has %d messages", i, total), func() bool {
			return len(diaries[i].messages) >= total
		})
		next := map[Target]int{}
		for n, m := range diaries[i].messages {
			list := want[m.Conversation]
			if k := next[m.Conversation]; k >= len(list) || m.Seq != list[k] {
				t.Fatalf("client %d, message %d: seq %d of %v, want one of %v", i, n, m.Seq, m.Conversation, list[min(k, len(list)):])
			}
			next[m.Conversation]++
		}
		for target, list := range want {
			if next[target] != len(list) {
				t.Errorf("client %d has %d of %d messages of %v", i, next[target], len(list), target)
			}
		}
		if err := c.Close(testContext(t)); err != nil {
			t.Error(err)
		}
	}
	end()
	wg.Wait()
	seen := map[string]bool{}
	for _, v := range s.conversations {
		for _, m := range v.messages {
			name := fmt.Sprint(m.Device, m.ClientID)
			if seen[name] {
				t.Errorf("a message has two places: %+v", m)
			}
			seen[name] = true
		}
	}
}

// owed gives the seqs that a device must receive, by conversation.
func (s *server) owed(user, device uint64) map[Target][]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	want := map[Target][]uint64{}
	for key, v := range s.conversations {
		target := targetOf(key.Target(user))
		if key.Kind == protocol.KindDirect && key.A != user && key.B != user {
			continue
		}
		for _, m := range v.messages {
			if m.Device != device {
				want[target] = append(want[target], m.Seq)
			}
		}
		slices.Sort(want[target])
	}
	return want
}
