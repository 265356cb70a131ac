package endtoend

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"gannet/internal/services/servicestest"
	gannet "gannet/sdk/go"
)

var (
	networkTime = flag.Duration("network.time", 8*time.Second, "how long TestBadNetwork chats")
	networkSeed = flag.Uint64("network.seed", 0, "seed of TestBadNetwork; 0 takes a new one")
)

const talkers = 6 // users 1 to talkers, who all write to each other

// talker is a user with a client, and what it has seen.
type talker struct {
	client *gannet.Client
	user   uint64

	mu    sync.Mutex
	sent  map[uint64]map[uint64]uint64 // by peer: number of an own message by its seq
	heard map[uint64][]gannet.Message  // by peer, as they came
	wrong []error
}

// TestBadNetwork: whatever the network does to the connections of a chat, each message
// that was taken has one place, and whoever it is for gets it once and in order.
func TestBadNetwork(t *testing.T) {
	seed := *networkSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("again with: -run TestBadNetwork -network.seed %d", seed)
	server := serve(t, t.TempDir(), servicestest.FreeAddress(t))
	network := newBadNetwork(t, server.address, seed)
	var list []*talker
	for user := uint64(1); user <= talkers; user++ {
		list = append(list, newTalker(t, server, network, user))
	}

	ctx, stop := context.WithTimeout(t.Context(), *networkTime)
	defer stop()
	var talking sync.WaitGroup
	for i, x := range list {
		talking.Go(func() { x.talk(ctx, rand.New(rand.NewPCG(seed, uint64(2+i)))) })
	}
	<-ctx.Done()
	network.calm.Store(true) // so that what is on its way arrives
	talking.Wait()

	total := 0
	for _, x := range list {
		for peer := uint64(1); peer <= talkers; peer++ {
			if peer != x.user {
				await(t, fmt.Sprintf("user %d gets all of user %d", x.user, peer), func() bool {
					return x.count(peer) >= list[peer-1].taken(x.user)
				})
				total += x.count(peer)
			}
		}
	}
	for _, x := range list {
		for _, y := range list[:x.user-1] {
			check(t, x, y)
		}
		for _, err := range x.wrong {
			t.Errorf("user %d: %v", x.user, err)
		}
	}
	for deed, n := range map[string]int64{
		"delays": network.delays.Load(), "stalls": network.stalls.Load(), "halves": network.halves.Load(),
		"cuts": network.cuts.Load(), "resets": network.resets.Load(),
	} {
		t.Logf("%s: %d", deed, n)
		if n == 0 {
			t.Errorf("there were no %s: the network was not bad", deed)
		}
	}
	t.Logf("%d messages arrived", total)
}

func newTalker(t *testing.T, server *daemon, network *badNetwork, user uint64) *talker {
	t.Helper()
	x := &talker{user: user, sent: map[uint64]map[uint64]uint64{}, heard: map[uint64][]gannet.Message{}}
	c, err := gannet.Dial(t.Context(), network.address(), sign(t, server.data, user),
		gannet.WithDevice(1), gannet.WithHeartbeat(time.Second), gannet.WithBackoff(10*time.Millisecond, 500*time.Millisecond),
		gannet.WithHandler(gannet.Handler{Message: x.hear}))
	if err != nil {
		t.Fatal(err)
	}
	x.client = c
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Errorf("closing user %d: %v", user, err)
		}
	})
	return x
}

func (x *talker) hear(_ context.Context, _ *gannet.Client, m gannet.Message) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.heard[m.Sender] = append(x.heard[m.Sender], m)
	return nil
}

// count gives how many messages of the peer came.
func (x *talker) count(peer uint64) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.heard[peer])
}

// taken gives how many messages to the peer were acked.
func (x *talker) taken(peer uint64) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.sent[peer])
}

// talk sends numbered messages to everybody until ctx ends, a few of them on their
// way at once, and waits for all acks.
func (x *talker) talk(ctx context.Context, rng *rand.Rand) {
	var underWay sync.WaitGroup
	defer underWay.Wait()
	room := make(chan struct{}, 8)
	for number := uint64(1); ctx.Err() == nil; number++ {
		time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond) // below the limits of a user
		peer := 1 + rng.Uint64N(talkers)
		if peer == x.user {
			continue
		}
		body := binary.BigEndian.AppendUint64(make([]byte, 0, 2000), number)
		body = append(body, make([]byte, rng.IntN(1900>>rng.IntN(6)))...)
		room <- struct{}{}
		underWay.Go(func() {
			defer func() { <-room }()
			ack, err := x.client.Send(context.WithoutCancel(ctx), gannet.User(peer), gannet.Draft{Content: gannet.ContentText, Body: body})
			x.acked(peer, number, ack.Seq, err)
		})
	}
}

func (x *talker) acked(peer, number, seq uint64, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.sent[peer] == nil {
		x.sent[peer] = map[uint64]uint64{}
	}
	if other, taken := x.sent[peer][seq]; err != nil || taken {
		x.wrong = append(x.wrong, fmt.Errorf("message %d to %d got seq %d (%v), as message %d did", number, peer, seq, err, other))
		return
	}
	x.sent[peer][seq] = number
}

// check compares what two users have sent each other with what they got.
func check(t *testing.T, x, y *talker) {
	t.Helper()
	seqs := slices.Concat(slices.Collect(maps.Keys(x.sent[y.user])), slices.Collect(maps.Keys(y.sent[x.user])))
	slices.Sort(seqs)
	for i, seq := range seqs {
		if seq != uint64(i+1) {
			t.Errorf("between %d and %d place %d has message %d", x.user, y.user, i+1, seq)
			break
		}
	}
	for _, way := range [][2]*talker{{x, y}, {y, x}} {
		sender, receiver := way[0], way[1]
		got, last := receiver.heard[sender.user], uint64(0)
		for _, m := range got {
			if m.Seq <= last {
				t.Errorf("user %d got message %d of %d after %d", receiver.user, m.Seq, sender.user, last)
			}
			last = m.Seq
			if number, acked := sender.sent[receiver.user][m.Seq]; !acked || binary.BigEndian.Uint64(m.Body) != number {
				t.Errorf("user %d got message %d of %d that says %d, sent was %d", receiver.user, m.Seq, sender.user, binary.BigEndian.Uint64(m.Body), number)
			}
		}
		if sent := len(sender.sent[receiver.user]); len(got) != sent || sent == 0 {
			t.Errorf("user %d got %d messages of %d, who sent %d", receiver.user, len(got), sender.user, sent)
		}
	}
}
