package conformance

import (
	"context"
	"slices"
	"testing"

	"gannet/logic"
)

// Cursors holds an adapter of logic.Cursors, and of logic.Log where it raises
// them, to its guarantees.
func Cursors(t *testing.T, open Open) {
	runAll(t, open, []run{
		{"cursors only rise", cursorsRise},
		{"cursors do not pass the head", cursorsCapped},
		{"what is read is delivered", readIsDelivered},
		{"sending moves the sender's own", sendingMoves},
		{"positions come in the order asked", positionsInOrder},
		{"a batch with messages and cursors", cursorsInBatch},
	})
}

func (w *world) wantPosition(user, peer, delivered, read uint64) {
	w.t.Helper()
	if p := w.position(user, peer); p.Delivered != delivered || p.Read != read {
		w.t.Fatalf("user %d is at %+v, want delivered %d, read %d", user, p, delivered, read)
	}
}

// wantMoved checks the results of a cursor entry.
func (w *world) wantMoved(e logic.Entry, outcome logic.Outcome, delivered, read uint64) {
	w.t.Helper()
	if e.Outcome != outcome || e.Delivered != delivered || e.Read != read {
		w.t.Fatalf("outcome %d, delivered %d, read %d; want %d, %d, %d", e.Outcome, e.Delivered, e.Read, outcome, delivered, read)
	}
}

func cursorsRise(w *world) {
	w.fill(1, 1, 2, 1, 10)
	w.wantPosition(2, 1, 0, 0)
	w.wantMoved(w.move(2, 1, 3, 0), logic.Applied, 3, 0)
	w.wantMoved(w.move(2, 1, 3, 0), logic.Repeated, 3, 0)
	w.wantMoved(w.move(2, 1, 1, 0), logic.Repeated, 3, 0)
	w.wantMoved(w.move(2, 1, 5, 2), logic.Applied, 5, 2)
	w.wantMoved(w.move(2, 1, 1, 4), logic.Applied, 5, 4)
	w.reopen()
	w.wantPosition(2, 1, 5, 4)
	w.wantMoved(w.move(2, 1, 5, 4), logic.Repeated, 5, 4)
	w.wantMoved(w.move(2, 1, 6, 1), logic.Applied, 6, 4)
	w.wantPosition(2, 1, 6, 4)
}

func cursorsCapped(w *world) {
	w.wantMoved(w.move(2, 1, 7, 7), logic.Repeated, 0, 0)
	w.fill(1, 1, 2, 1, 3)
	w.wantPosition(2, 1, 0, 0) // what was asked before the messages came is not remembered
	w.wantMoved(w.move(2, 1, ^uint64(0), 0), logic.Applied, 3, 0)
	w.wantMoved(w.move(2, 1, 0, 4), logic.Applied, 3, 3)
	w.wantPosition(2, 1, 3, 3)
}

func readIsDelivered(w *world) {
	w.fill(1, 1, 2, 1, 5)
	w.wantMoved(w.move(2, 1, 0, 4), logic.Applied, 4, 4)
	w.wantPosition(2, 1, 4, 4)
}

func sendingMoves(w *world) {
	w.fill(1, 1, 2, 1, 5)
	w.wantPosition(1, 2, 5, 5)
	w.wantPosition(2, 1, 0, 0)
	w.move(2, 1, 2, 1)
	w.send(2, 1, 1, 1)
	w.wantPosition(2, 1, 6, 6)
	w.wantPosition(1, 2, 5, 5)
	w.send(1, 9, 2, 1) // another device of the same user
	w.wantPosition(1, 2, 7, 7)
	w.reopen()
	w.wantPosition(1, 2, 7, 7)
	w.wantPosition(2, 1, 6, 6)
	w.wantMoved(w.move(2, 1, 6, 6), logic.Repeated, 6, 6)
}

func positionsInOrder(w *world) {
	w.fill(1, 1, 2, 1, 5)
	w.move(2, 1, 3, 2)
	before := []logic.Position{{Delivered: 99, Read: 98}}
	got, err := w.Cursors.Positions(context.Background(), direct(1, 2), []uint64{2, 77, 1, 2}, before)
	want := []logic.Position{{Delivered: 99, Read: 98}, {Delivered: 3, Read: 2}, {}, {Delivered: 5, Read: 5}, {Delivered: 3, Read: 2}}
	if err != nil || !slices.Equal(got, want) {
		w.t.Fatalf("positions %v, %v; want %v", got, err, want)
	}
}

func cursorsInBatch(w *world) {
	e := w.append(new(batch).
		send(1, 1, 2, 1, "one").cursor(2, 1, 1, 1, 0).send(1, 1, 2, 2, "two").cursor(2, 2, 1, 2, 1).
		send(2, 1, 1, 1, "three").cursor(2, 1, 1, 9, 9).cursor(1, 1, 2, 3, 2))
	w.wantMoved(e[1], logic.Applied, 1, 0)
	w.wantMoved(e[3], logic.Applied, 2, 1)
	w.wantMoved(e[5], logic.Repeated, 3, 3)
	w.wantMoved(e[6], logic.Applied, 3, 2)
	w.reopen()
	w.wantPosition(1, 2, 3, 2)
	w.wantPosition(2, 1, 3, 3)
}
