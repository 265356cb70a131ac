package conformance

import (
	"fmt"

	"gannet/logic"
	"gannet/protocol"
)

var retryStories = []run{
	{"a retry in the same batch", retryInBatch},
	{"a retry in a later batch", retryLater},
	{"a retry after a restart", retryAfterReopen},
	{"a retry after a crash", retryAfterCrash},
	{"a client id below one that was accepted", outOfOrder},
	{"a whole window in the wrong order", windowOutOfOrder},
	{"devices have client ids of their own", devicesApart},
	{"a retry at the end of the window", windowEnd},
	{"a retry past the window gets no second seq", pastWindow},
}

func retryInBatch(w *world) {
	e := w.apply(new(batch).
		send(1, 1, 2, 1, "one").send(1, 1, 2, 2, "two").send(1, 1, 2, 1, "one").send(1, 1, 2, 3, "three").send(1, 1, 2, 2, "two"))
	w.wantNew(e[0], 1)
	w.wantNew(e[1], 2)
	w.wantRepeated(e[2], e[0])
	w.wantNew(e[3], 3)
	w.wantRepeated(e[4], e[1])
	w.wantHead(direct(1, 2), 3)
}

func retryLater(w *world) {
	var first []logic.Entry
	for id := range uint64(20) {
		first = append(first, w.send(1, 1, 2, id+1))
		w.send(2, 1, 1, id+1)
		w.clock.Add(1000)
	}
	for _, e := range first { // in rising order, as after a reconnect
		w.wantRepeated(w.send(1, 1, 2, e.ClientID), e)
	}
	w.wantNew(w.send(1, 1, 2, 21), 41)
	w.wantRepeated(w.send(1, 1, 2, 3), first[2])
}

func retryAfterReopen(w *world) {
	b := new(batch)
	for id := range uint64(10) {
		b.send(1, 1, 2, 10*(id+1), fmt.Sprint(id))
	}
	first := w.apply(b)
	w.clock.Add(1000)
	w.reopen()
	for _, e := range first {
		w.wantRepeated(w.send(1, 1, 2, e.ClientID), e)
	}
	w.wantNew(w.send(1, 1, 2, 55), 11) // between two known ones, yet new
	w.reopen()
	w.wantRepeated(w.send(1, 1, 2, 100), first[9])
	w.wantHead(direct(1, 2), 11)
}

// retryAfterCrash: what Apply answered for is there whatever dies, however many
// messages came before it.
func retryAfterCrash(w *world) {
	for id := uint64(1); id <= 150; id += 50 {
		w.fill(1, 1, 2, id, 49)
		last := w.send(1, 1, 2, id+49)
		again := w.survivor()
		again.wantRepeated(again.send(1, 1, 2, last.ClientID), last)
		again.wantNew(again.send(1, 1, 2, last.ClientID+1), last.Seq+1)
	}
}

func outOfOrder(w *world) {
	w.wantNew(w.send(1, 1, 2, 4), 1)
	six := w.send(1, 1, 2, 6) // 5 was rejected for overload
	w.wantNew(six, 2)
	five := w.send(1, 1, 2, 5)
	w.wantNew(five, 3)
	w.wantRepeated(w.send(1, 1, 2, 5), five)
	w.wantRepeated(w.send(1, 1, 2, 6), six)
	w.wantNew(w.send(1, 1, 2, 7), 4)
	w.reopen()
	w.wantRepeated(w.send(1, 1, 2, 5), five)
	w.wantRepeated(w.send(1, 1, 2, 6), six)
}

// windowOutOfOrder has all messages of a window but the last rejected at first,
// and then everything sent anew, twice.
func windowOutOfOrder(w *world) {
	const last = protocol.MaxUnacked
	firsts := map[uint64]logic.Entry{last: w.send(1, 1, 2, last)}
	for try := range 2 {
		for id := uint64(1); id <= last; {
			b := new(batch)
			for ; id <= last && len(b.Entries) < 100; id++ {
				b.send(1, 1, 2, id, "hello")
			}
			for _, e := range w.apply(b) {
				if first, known := firsts[e.ClientID]; known {
					w.wantRepeated(e, first)
				} else {
					w.wantNew(e, e.ClientID+1)
					firsts[e.ClientID] = e
				}
			}
		}
		if try == 0 {
			w.reopen()
		}
	}
	w.wantHead(direct(1, 2), last)
}

func devicesApart(w *world) {
	w.wantNew(w.send(1, 1, 2, 9), 1)
	w.wantNew(w.send(1, 2, 2, 9), 2)
	w.wantNew(w.send(2, 1, 1, 9), 3)
	w.wantNew(w.send(1, 1, 3, 9), 1) // nor do conversations share them
}

func windowEnd(w *world) {
	first := w.send(1, 1, 2, 1)
	w.clock.Add(23 * 3600 * 1000)
	w.fill(1, 1, 2, 2, protocol.MaxUnacked-1)
	w.fill(1, 2, 2, 1, 300) // other devices do not count
	w.wantRepeated(w.send(1, 1, 2, 1), first)
	w.reopen()
	w.wantRepeated(w.send(1, 1, 2, 1), first)
}

func pastWindow(w *world) {
	first := w.send(1, 1, 2, 1)
	sent := uint64(1)
	for _, more := range []int{protocol.MaxUnacked, protocol.MaxUnacked, 100} {
		w.fill(1, 1, 2, sent+1, more)
		sent += uint64(more)
		for range 2 {
			if e := w.send(1, 1, 2, 1); e.Outcome != logic.Refused || e.Code != protocol.CodeStaleClientID {
				w.wantRepeated(e, first)
			}
			w.wantHead(direct(1, 2), sent)
			w.reopen()
		}
	}
}
