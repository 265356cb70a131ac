package conformance

import "gannet/logic"

var ackStories = []run{
	{"acks rise and are visible at once", acksRise},
	{"each device has its own", acksApart},
	{"acks do not pass the head", acksCapped},
	{"answering acks nothing that was not received", answering},
	{"a message behind an ack raises it", sendingRaises},
	{"an ack and its message in one batch", ackInBatch},
	{"an ack a second old survives: with the next batch", ackWithBatch},
	{"an ack a second old survives: without a batch", ackAlone},
	{"an ack a second old survives: a clock that was set back", ackClockBack},
	{"acks of many conversations survive a second later", ackMany},
	{"an ack survives a stop in good order", ackAtStop},
}

func acksRise(w *world) {
	w.fill(1, 1, 2, 1, 10)
	w.want(2, 1, 1, view{head: 10, unread: 10})
	w.wantCursors(w.ack(2, 1, 1, 3), cursors{logic.Applied, 3, 3, 0, true})
	w.want(2, 1, 1, view{head: 10, unread: 10, acked: 3, delivered: 3})
	w.wantCursors(w.ack(2, 1, 1, 3), cursors{logic.Repeated, 3, 3, 0, false})
	w.wantCursors(w.ack(2, 1, 1, 1), cursors{logic.Repeated, 1, 3, 0, false})
	w.read(2, 1, 2)
	w.wantCursors(w.ack(2, 1, 1, 5), cursors{logic.Applied, 5, 5, 2, true})
	w.want(2, 1, 1, view{head: 10, unread: 8, acked: 5, delivered: 5, read: 2})
	w.reopen()
	w.want(2, 1, 1, view{head: 10, unread: 8, acked: 5, delivered: 5, read: 2})
	w.wantCursors(w.ack(2, 1, 1, 5), cursors{logic.Repeated, 5, 5, 2, false})
	w.wantCursors(w.ack(2, 1, 1, 6), cursors{logic.Applied, 6, 6, 2, true})
}

func acksApart(w *world) {
	w.fill(1, 1, 2, 1, 10)
	w.ack(2, 1, 1, 5)
	w.wantCursors(w.ack(2, 2, 1, 3), cursors{logic.Applied, 3, 5, 0, false}) // the user has more already
	for range 2 {
		w.want(2, 1, 1, view{head: 10, unread: 10, acked: 5, delivered: 5})
		w.want(2, 2, 1, view{head: 10, unread: 10, acked: 3, delivered: 5})
		w.want(2, 3, 1, view{head: 10, unread: 10, acked: 0, delivered: 5})
		w.want(1, 1, 2, view{head: 10, acked: 10, delivered: 10})
		w.reopen()
	}
	w.wantCursors(w.ack(2, 2, 1, 9), cursors{logic.Applied, 9, 9, 0, true})
	w.want(2, 1, 1, view{head: 10, unread: 10, acked: 5, delivered: 9})
}

func acksCapped(w *world) {
	w.wantCursors(w.ack(2, 1, 1, 7), cursors{outcome: logic.Repeated})
	w.wantCursors(w.read(2, 1, 7), cursors{outcome: logic.Repeated})
	w.fill(1, 1, 2, 1, 3)
	w.want(2, 1, 1, view{head: 3, unread: 3}) // what was asked before the messages came is not remembered
	w.wantCursors(w.ack(2, 1, 1, ^uint64(0)), cursors{logic.Applied, 3, 3, 0, true})
	w.wantCursors(w.read(2, 1, ^uint64(0)), cursors{logic.Applied, 3, 3, 3, true})
	w.fill(1, 1, 2, 4, 2)
	w.want(2, 1, 1, view{head: 5, unread: 2, acked: 3, delivered: 3, read: 3})
}

// answering: of ten messages a device takes in the first, and answers it.
func answering(w *world) {
	w.fill(1, 1, 2, 1, 10)
	w.ack(2, 1, 1, 1)
	w.wantNew(w.send(2, 1, 1, 1), 11)
	for range 2 {
		w.want(2, 1, 1, view{head: 11, unread: 10, acked: 1, delivered: 1})
		w.reopen()
	}
	w.wantNew(w.send(2, 2, 1, 1), 12) // from a device that has received nothing
	w.want(2, 2, 1, view{head: 12, unread: 10, acked: 0, delivered: 1})
	w.read(2, 1, 1)
	w.want(2, 1, 1, view{head: 12, unread: 9, acked: 1, delivered: 1, read: 1})
	w.want(1, 1, 2, view{head: 12, unread: 2, acked: 10, delivered: 10})
}

func sendingRaises(w *world) {
	w.wantNew(w.send(1, 1, 2, 1), 1)
	w.want(1, 1, 2, view{head: 1, acked: 1, delivered: 1})
	w.fill(1, 1, 2, 2, 9)
	w.want(1, 1, 2, view{head: 10, acked: 10, delivered: 10})
	w.ack(2, 1, 1, 10)
	w.clock.Add(1000)
	w.wantNew(w.send(2, 1, 1, 1), 11)
	for _, now := range []*world{w, w.survivor()} {
		now.want(2, 1, 1, view{head: 11, unread: 10, acked: 11, delivered: 11})
		now.want(2, 2, 1, view{head: 11, unread: 10, delivered: 11})
	}
	w.reopen()
	w.want(2, 1, 1, view{head: 11, unread: 10, acked: 11, delivered: 11})
	w.wantNew(w.send(1, 1, 2, 11), 12)
	w.want(1, 1, 2, view{head: 12, unread: 1, acked: 10, delivered: 10}) // 11 was not received yet
	w.ack(1, 1, 2, 12)
	w.wantNew(w.send(1, 1, 2, 12), 13)
	w.want(1, 1, 2, view{head: 13, unread: 1, acked: 13, delivered: 13})
	w.wantRepeated(w.send(1, 1, 2, 11), logic.Entry{Seq: 12, Time: uint64(w.clock.Load())})
	w.want(1, 1, 2, view{head: 13, unread: 1, acked: 13, delivered: 13})
}

func ackInBatch(w *world) {
	e := w.apply(new(batch).
		send(1, 1, 2, 1, "one").ack(2, 1, 1, 1).send(1, 1, 2, 2, "two").ack(2, 2, 1, 9).
		read(2, 1, 1, 1).send(2, 2, 1, 1, "three").ack(2, 1, 1, 9).read(1, 1, 2, 9))
	w.wantCursors(e[1], cursors{logic.Applied, 1, 1, 0, true})
	w.wantCursors(e[3], cursors{logic.Applied, 2, 2, 0, true})
	w.wantCursors(e[4], cursors{logic.Applied, 1, 2, 1, true})
	w.wantCursors(e[6], cursors{logic.Applied, 3, 3, 1, false}) // its own third message did that
	w.wantCursors(e[7], cursors{logic.Applied, 3, 3, 3, true})
	w.reopen()
	w.want(1, 1, 2, view{head: 3, acked: 2, delivered: 3, read: 3})
	w.want(2, 1, 1, view{head: 3, unread: 1, acked: 3, delivered: 3, read: 1})
	w.want(2, 2, 1, view{head: 3, unread: 1, acked: 3, delivered: 3, read: 1})
}

// survives says whether the ack of user 2's device 1 for user 1's messages would
// outlive a crash.
func (w *world) survives(peer, seq uint64) bool {
	w.t.Helper()
	s, _ := w.survivor().state(peer, 1, to(1))
	if s.Acked > seq {
		w.t.Fatalf("%d is acked after a crash, %d was acked before", s.Acked, seq)
	}
	return s.Acked == seq && s.Delivered == seq
}

func ackWithBatch(w *world) {
	peers := neighbours(2) // of one queue
	w.fill(1, 1, peers[0], 1, 10)
	w.ack(peers[0], 1, 1, 4)
	w.ack(peers[0], 1, 1, 7)
	w.clock.Add(1000)
	w.send(1, 1, peers[1], 1)
	if !w.survives(peers[0], 7) {
		w.t.Fatal("a batch came a second later, and did not take the ack along")
	}
}

func ackAlone(w *world) {
	w.fill(1, 1, 2, 1, 10)
	w.ack(2, 1, 1, 7)
	w.clock.Add(1000)
	w.eventually("the ack is written", func() bool { return w.survives(2, 7) })
}

func ackClockBack(w *world) {
	w.fill(1, 1, 2, 1, 10)
	w.ack(2, 1, 1, 7)
	w.clock.Add(-3600_000)
	w.eventually("the ack is written", func() bool { return w.survives(2, 7) })
}

// ackMany: more conversations than one record may take along.
func ackMany(w *world) {
	peers := neighbours(600)
	sends, acks := new(batch), new(batch)
	for _, peer := range peers {
		sends.send(1, 1, peer, 1, "hello")
		acks.ack(peer, 1, 1, 1)
	}
	w.apply(sends)
	w.apply(acks)
	w.clock.Add(1000)
	w.eventually("every ack is written", func() bool {
		left := w.survivor()
		for _, peer := range peers {
			if s, _ := left.state(peer, 1, to(1)); s.Acked != 1 {
				return false
			}
		}
		return true
	})
}

func ackAtStop(w *world) {
	for _, peer := range w.queuePeers() {
		w.fill(1, 1, peer, 1, 3)
		w.ack(peer, 1, 1, 2)
	}
	w.reopen()
	for _, peer := range w.queuePeers() {
		w.want(peer, 1, 1, view{head: 3, unread: 3, acked: 2, delivered: 2})
	}
	if !w.survives(w.queuePeers()[0], 2) {
		w.t.Fatal("an ack was lost after a stop in good order")
	}
}
