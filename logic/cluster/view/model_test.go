//go:build cluster

package view_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"gannet/internal/hop"
	"gannet/internal/redis/redistest"
	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// TestModel applies random batches to a ledger that forgets at once what it does not use,
// so that it reads most conversations back from the view, and compares after each step
// what the view has with what changes have said. Writers repeat what they are not sure of,
// are taken over, and know few devices, so that devices go.
func TestModel(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		rng := rand.New(rand.NewPCG(seed, 0))
		now := int64(1_700_000_000_000)
		m := &model{rng: rng, ids: make(map[[2]uint64]uint64)}
		o := options{
			addresses: addresses, name: redistest.Prefix(t, addresses...), queues: 2, cache: 2, devices: 3,
			now: clockOf(&now),
		}
		s := openStore(t, o, newMemory())
		s.stop()
		for range 400 {
			now += int64(rng.IntN(2000))
			if rng.IntN(8) == 0 {
				now += 24 * 3600 * 1000 // devices may make room
			}
			must(t, s.Apply(t.Context(), m.batches(2)))
			switch rng.IntN(12) {
			case 0:
				s.flush(t.Context(), true)
			case 1: // another one takes over; acks of a second are lost
				s = openStore(t, o, s.memory)
				s.stop()
			case 2:
				s.queues[rng.IntN(2)].ledger.Forget()
			case 3: // an answer that is not awaited
				m.unsure(t, s)
			}
			s.check()
		}
		if s.memory.gone == 0 {
			t.Fatal("no device made room")
		}
	})
}

type model struct {
	rng *rand.Rand
	ids map[[2]uint64]uint64
}

var talks = []protocol.Conversation{
	{Kind: protocol.KindDirect, A: 1, B: 2}, {Kind: protocol.KindDirect, A: 1, B: 3}, {Kind: protocol.KindDirect, A: 2, B: 3},
	{Kind: protocol.KindDirect, A: 1, B: 1}, {Kind: protocol.KindSystem, A: 1}, {Kind: protocol.KindDirect, A: 2, B: ^uint64(0)},
}

// batches makes a batch for each queue.
func (m *model) batches(queues int) (list []*logic.Batch) {
	for q := range queues {
		list = append(list, &logic.Batch{Queue: q})
	}
	for range 1 + m.rng.IntN(12) {
		c := talks[m.rng.IntN(len(talks))]
		b := list[c.Partition()%queues]
		user := []uint64{c.A, c.B}[m.rng.IntN(2)]
		device := 1 + m.rng.Uint64N(5)
		if c.Kind == protocol.KindSystem {
			user = c.A
		}
		e := logic.Entry{Conversation: c, User: user, Device: device, Seq: m.rng.Uint64N(300)}
		switch m.rng.IntN(4) {
		case 0:
			e.Op = hop.OpRead
		case 1:
			e.Op = hop.OpAck
		default:
			at := [2]uint64{user, device}
			m.ids[at] += m.rng.Uint64N(2) // now and then a retry
			e.Op, e.Silent, e.ClientID, e.Seq = hop.OpMessage, m.rng.IntN(5) == 0, max(m.ids[at], 1), 0
			e.Frame.Start = uint32(len(b.Blob))
			b.Blob = protocol.Message{
				Target: c.Target(user), Sender: user, Device: device, ClientID: e.ClientID, Content: protocol.ContentText,
				Body: make([]byte, m.rng.IntN(600)),
			}.AppendFrame(b.Blob)
			e.Frame.End = uint32(len(b.Blob))
		}
		b.Entries = append(b.Entries, e)
	}
	return list
}

// unsure brings a record forward under a context that has ended, so that its writer does
// not know what became of it, and tries it again.
func (m *model) unsure(t *testing.T, s *store) {
	t.Helper()
	q := s.queues[m.rng.IntN(2)]
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := q.forward(ended, nil); !errors.Is(err, logic.ErrUnavailable) {
		t.Fatalf("a call that had ended: %v", err)
	}
	one := &ledger.Loaded{Key: talks[0]}
	must(t, q.writer.Load(t.Context(), []*ledger.Loaded{one})) // the view is at either mark
	must(t, q.writer.Again(t.Context()))
}
