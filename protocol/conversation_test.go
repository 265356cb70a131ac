package protocol

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"testing"
)

func TestConversationIsTheSameForAllMembers(t *testing.T) {
	for _, c := range []struct {
		user   uint64
		target Target
		want   Conversation
	}{
		{1, Target{KindDirect, 2}, Conversation{KindDirect, 1, 2}},
		{2, Target{KindDirect, 1}, Conversation{KindDirect, 1, 2}},
		{1, Target{KindDirect, 1}, Conversation{KindDirect, 1, 1}},
		{math.MaxUint64, Target{KindDirect, 1}, Conversation{KindDirect, 1, math.MaxUint64}},
		{1, Target{KindGroup, 77}, Conversation{KindGroup, 77, 0}},
		{2, Target{KindGroup, 77}, Conversation{KindGroup, 77, 0}},
		{1, Target{KindSystem, 1}, Conversation{KindSystem, 1, 0}},
		{1, Target{KindBroadcast, 0}, Conversation{KindBroadcast, 0, 0}},
		{1, Target{}, Conversation{}},
	} {
		if got := c.target.Conversation(c.user); got != c.want {
			t.Errorf("user %d, target %v: conversation %v, want %v", c.user, c.target, got, c.want)
		}
	}
}

func TestTargetIsTheInverseOfConversation(t *testing.T) {
	check := func(user uint64, target Target) {
		t.Helper()
		c := target.Conversation(user)
		if got := c.Target(user); got != target {
			t.Fatalf("user %d: target %v became conversation %v and that target %v", user, target, c, got)
		}
		if target.Kind != KindDirect {
			return
		}
		peer := Target{KindDirect, user}
		if other := peer.Conversation(target.ID); other != c {
			t.Fatalf("users %d and %d are in %v and %v", user, target.ID, c, other)
		}
		if got := c.Target(target.ID); got != peer {
			t.Fatalf("user %d: conversation %v became target %v, want %v", target.ID, c, got, peer)
		}
	}
	check(1, Target{KindDirect, 1})
	check(math.MaxUint64, Target{KindDirect, 1})
	r := rand.New(rand.NewPCG(1, 2))
	for range 10000 {
		check(r.Uint64(), Target{KindDirect, r.Uint64()})
		check(r.Uint64(), Target{KindGroup, r.Uint64()})
	}
	check(9, Target{KindSystem, 9})
	check(9, Target{KindBroadcast, 0})
}

func TestMessageAndReceiptNameTheirConversation(t *testing.T) {
	want := Conversation{KindDirect, 1, 2}
	m := Message{Target: Target{KindDirect, 1}, Sender: 2}
	if got := m.Conversation(); got != want {
		t.Errorf("message of 2 to 1 is in %v", got)
	}
	r := Receipt{Target: Target{KindDirect, 2}, User: 1}
	if got := r.Conversation(); got != want {
		t.Errorf("receipt of 1 is in %v", got)
	}
}

// TestPartitionNeverChanges has numbers that were computed apart from this code:
// data on disk, queues and other nodes depend on them.
func TestPartitionNeverChanges(t *testing.T) {
	for _, c := range []struct {
		conversation Conversation
		want         int
	}{
		{Conversation{KindDirect, 1, 2}, 193},
		{Conversation{KindDirect, 1, 1}, 232},
		{Conversation{KindDirect, 2, 3}, 93},
		{Conversation{KindDirect, 1000, 2000}, 77},
		{Conversation{KindDirect, 1, math.MaxUint64}, 47},
		{Conversation{KindGroup, 1, 0}, 225},
		{Conversation{KindGroup, 77, 0}, 16},
		{Conversation{KindGroup, math.MaxUint64, 0}, 58},
		{Conversation{KindSystem, 1, 0}, 112},
		{Conversation{KindSystem, 2, 0}, 209},
		{Conversation{KindBroadcast, 0, 0}, 205},
	} {
		if got := c.conversation.Partition(); got != c.want {
			t.Errorf("%v is in partition %d, want %d", c.conversation, got, c.want)
		}
	}
}

func TestPartitionIsFNV(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		c := Conversation{Kind(r.Uint32()), r.Uint64(), r.Uint64()}
		h := fnv.New64a()
		h.Write(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64([]byte{byte(c.Kind)}, c.A), c.B))
		sum := h.Sum64()
		if want := int((sum>>32 ^ sum) % Partitions); c.Partition() != want {
			t.Fatalf("%v is in partition %d, want %d", c, c.Partition(), want)
		}
	}
}

// TestPartitionsAreEven lays a hundred conversations per partition in the ways
// in which ids are really given out: no partition may get half too many.
func TestPartitionsAreEven(t *testing.T) {
	const each = 100
	for name, conversation := range map[string]func(i uint64) Conversation{
		"pairs of neighbours": func(i uint64) Conversation { return Conversation{KindDirect, 2*i + 1, 2*i + 2} },
		"one busy user":       func(i uint64) Conversation { return Conversation{KindDirect, 1, i + 2} },
		"groups in order":     func(i uint64) Conversation { return Conversation{KindGroup, i + 1, 0} },
		"groups in strides":   func(i uint64) Conversation { return Conversation{KindGroup, i << 10, 0} },
		"system":              func(i uint64) Conversation { return Conversation{KindSystem, i + 1, 0} },
	} {
		var counts [Partitions]int
		for i := range uint64(each * Partitions) {
			counts[conversation(i).Partition()]++
		}
		for p, n := range counts {
			if n < each/2 || n > each*3/2 {
				t.Errorf("%s: partition %d has %d conversations of %d on average", name, p, n, each)
			}
		}
	}
}
