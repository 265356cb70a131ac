package conformance

import (
	"gannet/internal/hop"
	"gannet/logic"
)

var readStories = []run{
	{"read cursors rise and survive a crash at once", readsRise},
	{"what is read is delivered, and acks nothing", readIsDelivered},
	{"sending reads nothing", sendingReadsNothing},
	{"reads of a system conversation", readSystem},
}

func readsRise(w *world) {
	w.fill(1, 1, 2, 1, 100)
	seqs := []struct {
		seq  uint64
		want cursors
	}{
		{10, cursors{logic.Applied, 10, 10, 10, true}},
		{10, cursors{logic.Repeated, 10, 10, 10, false}},
		{4, cursors{logic.Repeated, 4, 10, 10, false}},
		{11, cursors{logic.Applied, 11, 11, 11, true}},
		{100, cursors{logic.Applied, 100, 100, 100, true}},
		{200, cursors{logic.Repeated, 100, 100, 100, false}},
	}
	for _, s := range seqs {
		w.wantCursors(w.read(2, 1, s.seq), s.want)
		left := w.survivor()
		for _, now := range []*world{w, left} {
			now.want(2, 1, 1, view{head: 100, unread: 100 - s.want.read, delivered: s.want.delivered, read: s.want.read})
		}
		left.wantCursors(left.read(2, 1, s.want.read), cursors{logic.Repeated, s.want.read, s.want.delivered, s.want.read, false})
	}
	w.reopen()
	w.want(2, 1, 1, view{head: 100, delivered: 100, read: 100})
}

func readIsDelivered(w *world) {
	w.fill(1, 1, 2, 1, 5)
	w.ack(2, 1, 1, 2)
	w.wantCursors(w.read(2, 1, 4), cursors{logic.Applied, 4, 4, 4, true})
	w.want(2, 1, 1, view{head: 5, unread: 1, delivered: 4, read: 4, acked: 2})
	w.wantCursors(w.ack(2, 1, 1, 3), cursors{logic.Applied, 3, 4, 4, false})
	w.ack(2, 1, 1, 5)
	w.want(2, 1, 1, view{head: 5, unread: 1, delivered: 5, read: 4, acked: 5})
	w.reopen()
	w.want(2, 1, 1, view{head: 5, unread: 1, delivered: 5, read: 4, acked: 5})
}

func sendingReadsNothing(w *world) {
	w.fill(1, 1, 2, 1, 5)
	w.read(2, 1, 2)
	w.send(2, 1, 1, 1)
	w.send(1, 1, 2, 6)
	for range 2 {
		w.want(2, 1, 1, view{head: 7, unread: 4, delivered: 2, read: 2})
		w.want(1, 1, 2, view{head: 7, unread: 1, delivered: 5, acked: 5})
		w.reopen()
	}
}

func readSystem(w *world) {
	w.apply(new(batch).announce(7, 1).announce(7, 2).announce(7, 3))
	target := system(7).Target(7)
	read := func(seq uint64) logic.Entry {
		return w.apply(new(batch).cursor(hop.OpRead, 7, 4, system(7), seq))[0]
	}
	w.wantCursors(read(2), cursors{logic.Applied, 2, 2, 2, true})
	for range 2 {
		if s, ok := w.state(7, 4, target); !ok || s.Unread != 1 || s.Read != 2 || s.Delivered != 2 || s.Head != 3 || s.PeerRead != 0 || s.PeerDelivered != 0 {
			w.t.Fatalf("the user sees %+v", s)
		}
		w.reopen()
	}
	w.wantCursors(read(9), cursors{logic.Applied, 3, 3, 3, true})
	if s, _ := w.state(7, 4, target); s.Unread != 0 || s.Read != 3 {
		w.t.Fatalf("the user sees %+v", s)
	}
}
