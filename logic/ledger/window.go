package ledger

import (
	"cmp"
	"slices"

	"gannet/protocol"
)

// A device sends rising client ids, so an id above the highest accepted one is
// new and nothing is looked up. For any other the device's messages in the
// conversation are gone through, from the newest back.
//
// How far back is enough: as long as message n is not acked, its device has sent
// fewer than MaxUnacked messages with a higher id there. So, if n was accepted,
//
//   - fewer than MaxUnacked messages with a higher id were accepted after it;
//   - fewer than MaxUnacked messages with a lower id were: let m be the lowest of
//     them. It was not acked when n was sent, so n and all ids between m and n are
//     among the fewer than MaxUnacked that were sent after m.
//
// So an id that is not among the newest windowSize messages was never accepted if
// MaxUnacked of them have lower ids; and if as many have higher ones, the device
// did not keep to its window, or asks far too late, and nothing can be said.
//
// Most of that need not be read: from its first message since it was loaded a device
// has a window, which knows every id that was accepted since, and the highest one
// that was before (floor). An id above the floor that it does not know is new.
const windowSize = 2*protocol.MaxUnacked - 1

// recentSize is how many of its newest messages are remembered of a device without
// looking anything up: those that a client sends while one that was refused comes
// again.
const recentSize = 128

// sent is a message of a device.
type sent struct{ id, seq, time uint64 }

// window is what is known of a device's newest messages in a conversation: those
// since it was made, and, once a walk went back further, those before.
type window struct {
	known []sent // rising by id
	rest  uint64 // seq of the newest message that is not known, 0: all are
	floor uint64 // every id above it that was accepted is known
	deep  bool   // a walk went back, so windowSize messages are kept
}

// newWindow makes the window of a device before its next message.
func newWindow(d *Device) *window { return &window{rest: d.Last, floor: d.MaxID} }

// find looks for a client id.
func (w *window) find(id uint64) (at int, found bool) {
	return slices.BinarySearchFunc(w.known, id, func(s sent, id uint64) int { return cmp.Compare(s.id, id) })
}

// decided says whether what is known suffices to judge an id.
func (w *window) decided(id uint64) bool {
	_, found := w.find(id)
	return found || id > w.floor || w.rest == 0 || len(w.known) >= windowSize
}

// judge says what an id is: a message that was accepted, or nobody can tell, or
// (neither) a new one. The id must be decided. Above the floor nothing was forgotten,
// so there what is not known is new however many came behind it.
func (w *window) judge(id uint64) (first sent, repeated, stale bool) {
	at, found := w.find(id)
	if found {
		return w.known[at], true, false
	}
	return sent{}, false, id <= w.floor && len(w.known)-at >= protocol.MaxUnacked
}

// add takes a newly accepted message in.
func (w *window) add(m sent) {
	if n := len(w.known); n == 0 || w.known[n-1].id < m.id { // nearly always
		w.known = append(w.known, m)
		return
	}
	at, _ := w.find(m.id)
	w.known = slices.Insert(w.known, at, m)
}

// trim keeps the newest messages, as many as are needed. It comes between two
// batches, for what one was told must stay known to its end, and seldom, so that it
// costs little.
func (w *window) trim() {
	keep := recentSize
	if w.deep {
		keep = windowSize
	}
	if len(w.known) < 2*keep {
		return
	}
	var few [4 * recentSize]uint64 // room that costs no object, as a rule
	seqs := few[:0]
	for _, m := range w.known {
		seqs = append(seqs, m.seq)
	}
	slices.Sort(seqs)
	oldest := seqs[len(seqs)-keep]
	w.rest = max(w.rest, seqs[len(seqs)-keep-1])
	w.known = slices.DeleteFunc(w.known, func(m sent) bool {
		if m.seq < oldest {
			w.floor = max(w.floor, m.id)
		}
		return m.seq < oldest
	})
}

// walk gives the walk that reads back what is needed to judge the wanted ids,
// which it sorts.
func (w *window) walk(c *conversation, d *device) *Walk {
	w.deep = true
	wants := d.wants
	slices.Sort(wants)
	wants = slices.Compact(wants)
	missing := 0
	for _, id := range wants {
		if _, found := w.find(id); !found {
			missing++
		}
	}
	return &Walk{
		Key: c.key, User: d.next.User, Device: d.next.Device, From: w.rest,
		Visit: func(id, seq, time, previous uint64) bool {
			w.known = append(w.known, sent{id, seq, time})
			w.rest = previous
			if _, wanted := slices.BinarySearch(wants, id); wanted {
				missing--
			}
			return missing > 0 && previous != 0 && len(w.known) < windowSize
		},
	}
}

// walked ends a walk.
func (w *window) walked() {
	slices.SortFunc(w.known, func(a, b sent) int { return cmp.Compare(a.id, b.id) })
}
