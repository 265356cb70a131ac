package logic_test

import (
	"math/rand/v2"
	"testing"

	"gannet/protocol"
)

// Cursors of one batch are one entry: whatever lies between them, the users see what
// they would have seen after one frame at a time.
func TestCursorsOfABatch(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	for round := range 25 {
		together, apart := newRig(t, nil), newRig(t, nil)
		id, head := uint64(0), uint64(0)
		for range 5 {
			var frames []asked
			for range 1 + rng.IntN(9) {
				user := 1 + rng.Uint64N(2)
				device, peer := 1+rng.Uint64N(2), 3-user
				switch seq := rng.Uint64N(head + 1); rng.IntN(3) {
				case 0:
					id++
					frames = append(frames, send(user, device, peer, id, "hello"))
				case 1:
					frames = append(frames, pushAck(user, device, peer, seq, 0))
				default:
					frames = append(frames, read(user, device, peer, seq, 0))
				}
			}
			together.forward(frames...)
			for _, f := range frames {
				apart.forward(f)
			}
			for user := uint64(1); user <= 2; user++ {
				for device := uint64(1); device <= 2; device++ {
					_, one := together.sync(user, device, protocol.Sync{})
					_, other := apart.sync(user, device, protocol.Sync{})
					if len(one) != len(other) {
						t.Fatalf("seed %d, round %d: %d and %d conversations", seed, round, len(one), len(other))
					}
					for i := range one {
						a, b := one[i], other[i]
						head = a.Head
						if a.Head != b.Head || a.Read != b.Read || a.Unread != b.Unread || a.Acked < b.Acked || a.Delivered < b.Delivered {
							t.Fatalf("seed %d, round %d: device %d of user %d sees\n%+v after one batch, and\n%+v after one frame at a time", seed, round, device, user, a, b)
						}
						if own := ownFrom(t, together, user, device, b.Acked+1); a.Acked > max(b.Acked, own) {
							t.Fatalf("seed %d, round %d: device %d of user %d has acked %d, and %d one frame at a time; its own messages go up to %d",
								seed, round, device, user, a.Acked, b.Acked, own)
						}
					}
				}
			}
		}
	}
}

// ownFrom gives the last of the device's own messages that follow each other from seq on.
func ownFrom(t *testing.T, r *rig, user, device, seq uint64) (last uint64) {
	t.Helper()
	page, _ := r.history(user, protocol.History{Target: to(3 - user), Seq: seq})
	for m := range page.All() {
		if m.Seq != seq || m.Sender != user || m.Device != device {
			break
		}
		last, seq = seq, seq+1
	}
	return last
}
