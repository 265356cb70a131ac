package embedded

import (
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gannet/logic"
	"gannet/protocol"
)

func TestStalePastTheWindow(t *testing.T) {
	s := mustOpen(t, Options{Lanes: 1, FS: vfs.NewMem()})
	for id := uint64(1); id <= protocol.MaxUnacked; id++ {
		mustSend(t, s, 1, 1, 2, id)
	}
	if e := mustSend(t, s, 1, 1, 2, 1); e.Outcome != logic.Repeated || e.Seq != 1 {
		t.Fatalf("with %d later messages: %+v, want seq 1 again", protocol.MaxUnacked-1, e)
	}
	mustSend(t, s, 1, 1, 2, protocol.MaxUnacked+1)
	if e := mustSend(t, s, 1, 1, 2, 1); e.Outcome != logic.Stale {
		t.Fatalf("with %d later messages: %+v, want stale", protocol.MaxUnacked, e)
	}
	if e := mustSend(t, s, 1, 1, 2, 2); e.Outcome != logic.Repeated || e.Seq != 2 {
		t.Fatalf("the next one: %+v, want seq 2 again", e)
	}
}

// TestRecallManyDevices: more devices repeat than a lane remembers at once.
func TestRecallManyDevices(t *testing.T) {
	s := mustOpen(t, Options{Lanes: 1, FS: vfs.NewMem()})
	devices := uint64(2 * len(s.lanes[0].batch.remembered.devices))
	for range 2 {
		for device := uint64(1); device <= devices; device++ {
			b := new(entries)
			for id := uint64(1); id <= 5; id++ {
				b.send(1, device, 2, id)
			}
			if err := b.appendTo(s); err != nil {
				t.Fatal(err)
			}
			for i, e := range b.Entries {
				if want := 5*(device-1) + uint64(i) + 1; e.Seq != want {
					t.Fatalf("device %d, client id %d: seq %d, want %d", device, e.ClientID, e.Seq, want)
				}
			}
		}
	}
	remembered := 0
	for _, d := range s.lanes[0].peek(direct(1, 2)).devices {
		if d.recent != nil {
			remembered++
		}
	}
	if limit := len(s.lanes[0].batch.remembered.devices); remembered != limit {
		t.Fatalf("the messages of %d devices are remembered, want %d", remembered, limit)
	}
}

// TestRecallAgainstModel lets a device that keeps to the window send, retry and
// hold back as it likes, with restarts and a cache that forgets. The model knows
// the first seq of every client id.
func TestRecallAgainstModel(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	opts := Options{Lanes: 1, FS: vfs.NewMem(), CacheConversations: 2}
	s := mustOpen(t, opts)
	var (
		model   = map[uint64]logic.Entry{}
		head    = uint64(0)
		lowest  = uint64(1) // the lowest client id that is not acked
		nextID  = uint64(1)
		acked   = map[uint64]bool{}
		batches = 700
	)
	for range batches {
		b := new(entries)
		for range 1 + rng.IntN(30) {
			id := nextID
			if full := nextID-lowest == protocol.MaxUnacked; full || nextID > lowest && rng.IntN(3) == 0 {
				// Often from the far end of the window, where it is decided.
				id = lowest + rng.Uint64N(nextID-lowest)
				if rng.IntN(2) == 0 {
					id = lowest
				}
			} else if nextID++; rng.IntN(4) == 0 {
				continue // held back
			}
			b.send(1, 1, 2, id)
		}
		if len(b.Entries) == 0 {
			continue
		}
		if err := b.appendTo(s); err != nil {
			t.Fatal(err)
		}
		for _, e := range b.Entries {
			first, known := model[e.ClientID]
			if known && (e.Outcome != logic.Repeated || e.Seq != first.Seq || e.Time != first.Time) ||
				!known && (e.Outcome != logic.Applied || e.Seq != head+1) {
				t.Fatalf("seed %d: client id %d, first %+v, head %d: got %+v", seed, e.ClientID, first, head, e)
			}
			if !known {
				model[e.ClientID], head = e, head+1
			}
			if rng.IntN(3) > 0 {
				acked[e.ClientID] = true // else the answer was lost
			}
		}
		for acked[lowest] && lowest < nextID {
			lowest++
		}
		switch rng.IntN(60) {
		case 0: // the conversation leaves the cache
			mustSend(t, s, 8, 1, 9, nextID)
			mustSend(t, s, 8, 1, 10, nextID)
		case 1:
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = mustOpen(t, opts)
		}
	}
	if head < 2*protocol.MaxUnacked {
		t.Fatalf("seed %d: only %d messages were accepted; the test does not leave the window", seed, head)
	}
}

// Device records are written at checkpoints only. Wherever a store is closed
// between two of them, it knows afterwards what every device has sent.
func TestDevicesAreKnownBetweenCheckpoints(t *testing.T) {
	// User 1 has two devices, user 2 has one.
	senders := []struct{ user, device, peer uint64 }{{1, 1, 2}, {2, 2, 1}, {1, 3, 2}}
	disk := vfs.NewMem()
	s := mustOpen(t, Options{Lanes: 1, FS: disk})
	sent := make([][]logic.Entry, len(senders))
	total := uint64(0)
	for _, upTo := range []uint64{1, checkpoint - 1, checkpoint, checkpoint + 1, 2*checkpoint - 1, 2 * checkpoint, 5*checkpoint + 3} {
		for total < upTo {
			b := new(entries) // of several messages, so that some batches pass a checkpoint
			for range min(5, upTo-total) {
				from := senders[total%3]
				b.send(from.user, from.device, from.peer, 10+10*(total/3))
				total++
			}
			if err := b.appendTo(s); err != nil {
				t.Fatal(err)
			}
			for _, e := range b.Entries {
				sent[e.Device-1] = append(sent[e.Device-1], e)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, Options{Lanes: 1, FS: disk})
		for i, from := range senders {
			for _, want := range sent[i][max(len(sent[i])-5, 0):] {
				if got := mustSend(t, s, from.user, from.device, from.peer, want.ClientID); got.Outcome != logic.Repeated || got.Seq != want.Seq {
					t.Fatalf("after %d messages: id %d of device %d got %+v, want seq %d again", total, want.ClientID, from.device, got, want.Seq)
				}
			}
		}
		if head, err := s.Head(t.Context(), direct(1, 2)); err != nil || head != total {
			t.Fatalf("the head is %d, %v; want %d", head, err, total)
		}
	}
}
