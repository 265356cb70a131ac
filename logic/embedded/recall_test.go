package embedded

import (
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gannet/logic"
	"gannet/protocol"
)

// windowSize is how many of its messages a device's client ids are looked for in.
const windowSize = 2*protocol.MaxUnacked - 1

// TestStalePastTheWindow: of an id that is older than all that is looked through
// nothing can be said, nor of one that the device left out too long ago.
func TestStalePastTheWindow(t *testing.T) {
	disk := vfs.NewMem()
	s := mustOpen(t, Options{Queues: 1, FS: disk})
	const leftOut = 500
	send := func(from, to uint64) {
		for id := from; id <= to; {
			b := new(entries)
			for ; id <= to && len(b.Entries) < 200; id++ {
				if id != leftOut {
					b.send(1, 1, 2, id)
				}
			}
			b.mustApply(t, s)
		}
	}
	wantStale := func(id uint64) {
		t.Helper()
		if e := mustSend(t, s, 1, 1, 2, id); e.Outcome != logic.Refused || e.Code != protocol.CodeStaleClientID || e.Seq != 0 {
			t.Fatalf("id %d came to %+v, want it refused as stale", id, e)
		}
	}
	send(1, leftOut+protocol.MaxUnacked)
	wantStale(leftOut)
	send(leftOut+protocol.MaxUnacked+1, 2*windowSize)
	head := headOf(t, s, direct(1, 2))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, Options{Queues: 1, FS: disk})
	wantStale(1)
	wantStale(leftOut)
	const oldest = 2*windowSize - windowSize + 1 // of those that are looked through
	wantStale(oldest - 1)
	if e := mustSend(t, s, 1, 1, 2, oldest); e.Outcome != logic.Repeated || e.Seq != oldest-1 {
		t.Fatalf("the oldest that is looked through: %+v, want seq %d again", e, oldest-1)
	}
	if got := headOf(t, s, direct(1, 2)); got != head {
		t.Fatalf("the head went from %d to %d", head, got)
	}
}

// TestRecallManyDevices: more devices repeat than a ledger remembers at once, with
// the conversation in memory and out of it.
func TestRecallManyDevices(t *testing.T) {
	const devices, each = 300, 250
	s := mustOpen(t, Options{Queues: 1, Devices: devices, FS: vfs.NewMem()})
	for try := range 2 {
		for device := uint64(1); device <= devices; device++ {
			b := new(entries)
			for id := uint64(1); id <= each; id++ {
				b.send(1, device, 2, id)
			}
			want := logic.Applied
			if try > 0 {
				want = logic.Repeated
			}
			for i, e := range b.mustApply(t, s) {
				if seq := each*(device-1) + uint64(i) + 1; e.Seq != seq || e.Outcome != want {
					t.Fatalf("try %d, device %d, client id %d: outcome %d, seq %d; want %d, %d", try, device, e.ClientID, e.Outcome, e.Seq, want, seq)
				}
			}
		}
	}
}

// TestRecallAgainstModel lets a device that keeps to the window send, retry and
// hold back as it likes, with restarts, other numbers of queues and a cache that
// forgets. The model knows the first seq of every client id.
func TestRecallAgainstModel(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	opts := Options{Queues: 1, FS: vfs.NewMem(), CacheConversations: 2}
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
		for _, e := range b.mustApply(t, s) {
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
			mustSend(t, s, 8, 1, 11, nextID)
		case 1:
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			opts.Queues = 1 + rng.IntN(5)
			s = mustOpen(t, opts)
		}
	}
	if head < 2*protocol.MaxUnacked {
		t.Fatalf("seed %d: only %d messages were accepted; the test does not leave the window", seed, head)
	}
}

// TestDevicesAreKnownBetweenCheckpoints: device records are written at checkpoints and
// with acks only. Wherever a store dies between two of them, it knows afterwards what
// every device has sent, and what is unread.
func TestDevicesAreKnownBetweenCheckpoints(t *testing.T) {
	// User 1 has two devices, user 2 has one.
	senders := []struct{ user, device, peer uint64 }{{1, 1, 2}, {2, 2, 1}, {1, 3, 2}}
	disk := vfs.NewCrashableMem()
	s := mustOpen(t, Options{Queues: 1, FS: disk})
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
			for _, e := range b.mustApply(t, s) {
				sent[e.Device-1] = append(sent[e.Device-1], e)
			}
		}
		died := mustOpen(t, Options{Queues: 3, FS: disk.CrashClone(vfs.CrashCloneCfg{})})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, Options{Queues: 1, FS: disk})
		for name, s := range map[string]*Store{"stopped": s, "died": died} {
			for i, from := range senders {
				for _, want := range sent[i][max(len(sent[i])-5, 0):] {
					if got := mustSend(t, s, from.user, from.device, from.peer, want.ClientID); got.Outcome != logic.Repeated || got.Seq != want.Seq || got.Time != want.Time {
						t.Fatalf("%s after %d messages: id %d of device %d got %+v, want seq %d again", name, total, want.ClientID, from.device, got, want.Seq)
					}
				}
			}
			if head := headOf(t, s, direct(1, 2)); head != total {
				t.Fatalf("%s: the head is %d, want %d", name, head, total)
			}
			bySecond := uint64(len(sent[1]))
			if a, b := stateOf(t, s, 1, 1, 2), stateOf(t, s, 2, 2, 1); a.Unread != bySecond || b.Unread != total-bySecond {
				t.Fatalf("%s after %d messages: %d and %d are unread, want %d and %d", name, total, a.Unread, b.Unread, bySecond, total-bySecond)
			}
		}
	}
}
