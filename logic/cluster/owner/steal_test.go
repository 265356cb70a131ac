//go:build cluster

package owner_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"gannet/internal/chain"
	"gannet/internal/chain/chaintest"
	"gannet/internal/hop"
	"gannet/internal/registry"
	"gannet/internal/services/servicestest"
	"gannet/logic"
	"gannet/logic/cluster/owner"
	"gannet/protocol"
)

// shaky is a broker as one node sees it: requests and answers come late, twice or never.
type shaky struct {
	chain.Stream
	mu    sync.Mutex
	rng   *rand.Rand
	calm  bool
	after sync.WaitGroup // what comes late
}

var errShaky = errors.New("the broker does not answer")

func (s *shaky) draw() (what int, pause time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calm {
		return 100, 0
	}
	pause = time.Duration(s.rng.IntN(2000)) * time.Microsecond
	if s.rng.IntN(50) == 0 {
		pause = time.Duration(s.rng.IntN(300)) * time.Millisecond
	}
	return s.rng.IntN(100), pause
}

func (s *shaky) Append(ctx context.Context, q chain.Queue, body []byte) (int64, error) {
	what, pause := s.draw()
	time.Sleep(pause)
	switch {
	case what < 2: // never
		return 0, errShaky
	case what < 5: // late
		s.after.Go(func() {
			time.Sleep(20 * pause)
			_, _ = s.Stream.Append(context.Background(), q, body)
		})
		return 0, errShaky
	case what < 8: // there, and nobody hears of it
		_, _ = s.Stream.Append(ctx, q, body)
		return 0, errShaky
	case what < 10: // twice
		_, _ = s.Stream.Append(ctx, q, body)
	}
	return s.Stream.Append(ctx, q, body)
}

func (s *shaky) soothe() {
	s.mu.Lock()
	s.calm = true
	s.mu.Unlock()
	s.after.Wait()
}

// sender sends from one device to one conversation, a message at a time, to whatever node,
// until it is told a seq; and now and then one that was acked once more.
type sender struct {
	t    *testing.T
	rng  *rand.Rand
	from uint64
	to   uint64
	seqs []uint64 // by client id, from 1
}

func (s *sender) key() protocol.Conversation {
	return protocol.Target{Kind: protocol.KindDirect, ID: s.to}.Conversation(s.from)
}

// try sends one message to a node.
func (s *sender) try(n *node, id uint64) (e logic.Entry, err error) {
	m := protocol.Message{
		Target: protocol.Target{Kind: protocol.KindDirect, ID: s.to}, Sender: s.from, Device: 1, ClientID: id,
		Content: protocol.ContentText, Body: fmt.Appendf(nil, "%d of %d", id, s.from),
	}
	b := &logic.Batch{Queue: s.key().Partition() % n.world.queues, Blob: m.AppendFrame(nil)}
	b.Entries = []logic.Entry{{Op: hop.OpMessage, Conversation: s.key(), User: s.from, Device: 1, ClientID: id, Frame: hop.Span{End: uint32(len(b.Blob))}}}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := n.owner.Apply(ctx, []*logic.Batch{b}); err != nil {
		return e, err
	}
	return b.Entries[0], b.Err
}

// send sends one message until it has a seq.
func (s *sender) send(nodes func() []*node, id uint64) (e logic.Entry) {
	for deadline := time.Now().Add(2 * patient); ; {
		now := nodes()
		e, err := s.try(now[s.rng.IntN(len(now))], id)
		switch {
		case err != nil, e.Outcome == logic.Unknown:
		case e.Outcome != logic.Refused:
			return e
		case e.Code != protocol.CodeBusy:
			s.t.Errorf("message %d of %d is refused with code %d", id, s.from, e.Code)
			return e
		}
		if time.Now().After(deadline) {
			s.t.Errorf("message %d of %d gets no seq: %+v, %v", id, s.from, e, err)
			return e
		}
		time.Sleep(time.Duration(s.rng.IntN(5)) * time.Millisecond)
	}
}

func (s *sender) run(nodes func() []*node, messages int) {
	for id := uint64(len(s.seqs) + 1); messages > 0 && !s.t.Failed(); id, messages = id+1, messages-1 {
		s.seqs = append(s.seqs, s.send(nodes, id).Seq)
		if old := 1 + s.rng.Uint64N(id); s.rng.IntN(4) == 0 {
			if e := s.send(nodes, old); e.Outcome != logic.Repeated || e.Seq != s.seqs[old-1] {
				s.t.Errorf("message %d of %d, acked with seq %d, is sent again and gets %+v", old, s.from, s.seqs[old-1], e)
			}
		}
	}
}

// senders gives pairs of users of which each sends to the other.
func senders(t *testing.T, seed uint64, pairs int) (list []*sender) {
	for i := range uint64(pairs) {
		a, b := 100+2*i, 101+2*i
		list = append(list,
			&sender{t: t, from: a, to: b, rng: rand.New(rand.NewPCG(seed, a))},
			&sender{t: t, from: b, to: a, rng: rand.New(rand.NewPCG(seed, b))})
	}
	return list
}

// told is what the records of a queue say of a message.
type told struct{ from, id uint64 }

// follow reads a queue as everybody does, and gives the messages of each conversation.
func (w *world) follow(m *chaintest.Memory) map[protocol.Conversation][]told {
	w.t.Helper()
	all := map[protocol.Conversation][]told{}
	for _, q := range queuesOf(w.queues) {
		f := chain.NewFollower(q, chain.Beginning)
		for offset, body := range m.All(q) {
			c, why, err := f.Feed(int64(offset), body)
			must(w.t, err)
			if why != chain.Counts {
				continue
			}
			var r hop.Record
			must(w.t, c.Hop(&r))
			for i, e := range r.Entries {
				if e.Op != hop.OpMessage {
					continue
				}
				var said protocol.Message
				must(w.t, said.Decode(r.Bytes(i)[protocol.HeaderSize:]))
				all[e.Conversation] = append(all[e.Conversation], told{said.Sender, said.ClientID})
				if int(e.Seq) != len(all[e.Conversation]) || said.Seq != e.Seq {
					w.t.Fatalf("message %d of %v has seq %d", len(all[e.Conversation]), e.Conversation, e.Seq)
				}
			}
		}
	}
	return all
}

// check holds what senders were told against the queue, and what readers are shown.
func (w *world) check(nodes []*node, list []*sender) {
	w.t.Helper()
	m := w.copyStream()
	all := w.follow(m)
	for _, s := range list {
		messages := all[s.key()]
		for i, seq := range s.seqs {
			if id := uint64(i + 1); seq == 0 || int(seq) > len(messages) || messages[seq-1] != (told{s.from, id}) {
				w.t.Errorf("message %d of %d was acked with seq %d, which the queue does not say (%d messages)", id, s.from, seq, len(messages))
			}
		}
		times := map[told]int{}
		for _, m := range messages {
			if times[m]++; times[m] > 1 {
				w.t.Errorf("message %d of %d has several seqs", m.id, m.from)
			}
		}
		eventually(w.t, "readers see the whole conversation", func() bool {
			page, err := nodes[0].inbox.Changed(w.t.Context(), logic.InboxQuery{User: s.from, Device: 1, Limit: 10, Room: 1 << 20})
			return err == nil && len(page.States) == 1 && page.States[0].Head == uint64(len(messages))
		})
	}
	w.archive.mu.Lock()
	defer w.archive.mu.Unlock()
	for _, wrong := range w.archive.wrong {
		w.t.Error(wrong)
	}
}

// TestStealing: several nodes all take themselves for the owner of every queue, over a
// broker that answers late, twice or never. Nothing that was acked is lost, no message gets
// two seqs and no seq two messages.
func TestStealing(t *testing.T) {
	t.Run("memory", func(t *testing.T) { stealing(t, chaintest.NewMemory()) })
	t.Run("RocketMQ", func(t *testing.T) { stealing(t, broker(t, 2)) })
}

func stealing(t *testing.T, m chain.Stream) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := newWorld(t, m, []string{servicestest.Redis(t)}, 2)
	var nodes []*node
	var brokers []*shaky
	for id := uint64(1); id <= 3; id++ {
		s := &shaky{Stream: m, rng: rand.New(rand.NewPCG(seed, id))}
		brokers = append(brokers, s)
		w.registry = registry.NewMemory() // each sees only itself
		w.tune = func(o *owner.Options) { o.Stream = s }
		nodes = append(nodes, w.start(id))
	}
	list := senders(t, seed, 3)
	var all sync.WaitGroup
	for _, s := range list {
		all.Go(func() { s.run(func() []*node { return nodes }, 60) })
	}
	all.Wait()
	for _, s := range brokers {
		s.soothe()
	}
	vars := map[string]uint64{}
	for _, n := range nodes {
		for k, v := range n.owner.Vars() {
			vars[k] += v
		}
	}
	t.Log(vars)
	if vars["lost.queues"] == 0 || vars["doubt.records"] == 0 || vars["doubt.void"] == 0 {
		t.Errorf("nobody stole anything, or nothing was in doubt or void: %v", vars)
	}
	if vars["stopped.queues"]+vars["panics"]+vars["damaged.records"] > 0 {
		t.Errorf("what may not happen has happened: %v", vars)
	}
	for _, n := range nodes[1:] {
		n.stop()
	}
	for _, s := range list { // who is left takes everything over for good
		s.run(func() []*node { return nodes[:1] }, 2)
	}
	w.check(nodes, list)
}

// TestHandOver: nodes come and drain under load. Nothing is lost, acks that wait are
// written, and what is sent while a queue moves is told where to go or waits.
func TestHandOver(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	m := chaintest.NewMemory()
	w := newWorld(t, m, []string{servicestest.Redis(t)}, 4)
	var mu sync.Mutex
	nodes := []*node{w.start(1), w.start(2)}
	list := senders(t, seed, 4)
	done := make(chan struct{})
	var all sync.WaitGroup
	for _, s := range list {
		all.Go(func() {
			for !t.Failed() {
				s.run(func() []*node {
					mu.Lock()
					defer mu.Unlock()
					return nodes
				}, 3)
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	acks := map[uint64]*sender{} // by device
	for id := uint64(3); id <= 6; id++ {
		mu.Lock()
		old := nodes[0]
		mu.Unlock()
		taken := old.owner.Vars()["records"]
		eventually(t, "it writes records", func() bool { return old.owner.Vars()["records"] > taken+10 })
		fresh := w.start(id)
		mu.Lock()
		nodes = append(slices.Clone(nodes[1:]), fresh)
		mu.Unlock()
		must(t, old.owner.Drain(t.Context()))
		for i, s := range list { // devices that never sent ack at the node that goes, where it has the queue
			device := 100*id + uint64(i)
			b := &logic.Batch{Queue: s.key().Partition() % w.queues, Entries: []logic.Entry{{
				Op: hop.OpAck, Conversation: s.key(), User: s.to, Device: device, Seq: 1,
			}}}
			must(t, old.owner.Apply(t.Context(), []*logic.Batch{b}))
			if b.Err == nil && b.Entries[0].Outcome == logic.Applied {
				acks[device] = s
			}
		}
		must(t, old.place.SetState(t.Context(), registry.Draining))
		old.stop()
	}
	close(done)
	all.Wait()
	w.check(nodes, list)
	for device, s := range acks {
		page, err := nodes[0].inbox.Changed(t.Context(), logic.InboxQuery{User: s.to, Device: device, Limit: 10, Room: 1 << 20})
		if must(t, err); len(page.States) != 1 || page.States[0].Acked != 1 {
			t.Errorf("device %d acked before its node went; there is %+v", device, page.States)
		}
	}
	if len(acks) == 0 {
		t.Error("no device acked at a node that drained")
	}
	for _, n := range nodes {
		if vars := n.owner.Vars(); vars["stopped.queues"]+vars["panics"]+vars["damaged.records"] > 0 {
			t.Errorf("what may not happen has happened: %v", vars)
		}
	}
}
