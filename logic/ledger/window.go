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
	late  []sent // likewise: some of those that came after a higher id, see add
	rest  uint64 // seq of the newest message that is not known, 0: all are
	floor uint64 // every id above it that was accepted is known
	deep  bool   // a walk went back, so windowSize messages are kept
}

// newWindow makes the window of a device before its next message.
func newWindow(d *Device) *window { return &window{rest: d.Last, floor: d.MaxID} }

// maxLate is how many messages that came after a higher id are kept apart, so that
// none has to be put into its place among thousands.
const maxLate = 64

func byID(s sent, id uint64) int { return cmp.Compare(s.id, id) }

// find looks for a client id. behind is how many of the known ones are higher.
func (w *window) find(id uint64) (m sent, found bool, behind int) {
	at, found := slices.BinarySearchFunc(w.known, id, byID)
	behind = len(w.known) - at
	if found {
		return w.known[at], true, behind - 1
	}
	if len(w.late) > 0 {
		if at, found = slices.BinarySearchFunc(w.late, id, byID); found {
			m = w.late[at]
		}
		behind += len(w.late) - at
	}
	return m, found, behind
}

// size gives how many messages are known.
func (w *window) size() int { return len(w.known) + len(w.late) }

// decided says whether what is known suffices to judge an id.
func (w *window) decided(id uint64) bool {
	if id > w.floor || w.rest == 0 || w.size() >= windowSize {
		return true
	}
	_, found, _ := w.find(id)
	return found
}

// judge says what an id is: a message that was accepted, or nobody can tell, or
// (neither) a new one. The id must be decided. Above the floor nothing was forgotten,
// so there what is not known is new however many came behind it.
func (w *window) judge(id uint64) (first sent, repeated, stale bool) {
	first, repeated, behind := w.find(id)
	return first, repeated, !repeated && id <= w.floor && behind >= protocol.MaxUnacked
}

// add takes a newly accepted message in.
func (w *window) add(m sent) {
	if n := len(w.known); n == 0 || w.known[n-1].id < m.id { // nearly always
		w.known = append(w.known, m)
		return
	}
	at, _ := slices.BinarySearchFunc(w.late, m.id, byID)
	w.late = slices.Insert(w.late, at, m)
	if len(w.late) == maxLate {
		w.merge()
	}
}

// merge puts the late ones into their places.
func (w *window) merge() {
	i, j := len(w.known)-1, len(w.late)-1
	w.known = append(w.known, w.late...)
	for at := len(w.known) - 1; j >= 0; at-- {
		if i >= 0 && w.known[i].id > w.late[j].id {
			w.known[at] = w.known[i]
			i--
		} else {
			w.known[at] = w.late[j]
			j--
		}
	}
	w.late = w.late[:0]
}

// trim keeps the newest messages, as many as are needed. It comes between two
// batches, for what one was told must stay known to its end, and seldom, so that it
// costs little.
func (w *window) trim() {
	keep := recentSize
	if w.deep {
		keep = windowSize
	}
	if w.size() < 2*keep {
		return
	}
	w.merge()
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

// take takes in what a recall found, if the window still lacks it.
func (w *window) take(r *recall) {
	if w.rest != r.from {
		return
	}
	w.known, w.rest, w.deep = append(w.known, r.known...), r.rest, true
	slices.SortFunc(w.known, func(a, b sent) int { return cmp.Compare(a.id, b.id) })
}
