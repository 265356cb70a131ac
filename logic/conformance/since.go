package conformance

import (
	"slices"
	"sync"
	"sync/atomic"

	"gannet/logic"
)

var sinceStories = []run{
	{"every change comes after its since", sinceChanges},
	{"a since that the store never gave is all", sinceUnknown},
	{"a since from before a restart, whatever the clock does", sinceReopen},
	{"a since from before a crash", sinceCrash},
	{"a change behind the page under way", sincePaging},
	{"a reader that follows many writers misses nothing", sinceFollows},
}

// wantChanged checks that the peers are among what changed for the user since.
func (w *world) wantChanged(user, since uint64, want ...uint64) {
	w.t.Helper()
	got := peers(w.all(logic.InboxQuery{User: user, Device: 1, Since: since}).States)
	for _, peer := range want {
		if !slices.Contains(got, peer) {
			w.t.Fatalf("since %d user %d is told of %v, which lacks %d", since, user, got, peer)
		}
	}
}

// next gives the since that a page of the user's inbox gives.
func (w *world) next(user uint64) uint64 {
	w.t.Helper()
	return w.page(logic.InboxQuery{User: user, Device: 1}).Next
}

// sinceChanges looks at once, when what may wait is written, and after a restart.
// Between the changes nothing is left to be written.
func sinceChanges(w *world) {
	near := neighbours(2) // of one queue
	peer, other := near[0], near[1]
	w.fill(1, 1, peer, 1, 10)
	w.fill(1, 1, other, 1, 10)
	id := uint64(0)
	for _, change := range []struct {
		name string
		make func()
	}{
		{"a message", func() { w.send(1, 1, peer, 100) }},
		{"an answer", func() { w.send(peer, 1, 1, 100) }},
		{"a read cursor", func() { w.read(peer, 1, 3) }},
		{"the peer's", func() { w.read(1, peer, 10) }},
		{"a device's ack", func() { w.ack(peer, 1, 1, 8) }},
		{"that of another", func() { w.ack(peer, 7, 1, 9) }},
		{"that of the peer", func() { w.ack(1, 7, peer, 12) }},
		{"a read cursor behind acks", func() { w.read(peer, 1, 4) }},
	} {
		w.reopen()
		ofOne, ofPeer := w.next(1), w.next(peer)
		look := func(when string) {
			w.t.Helper()
			if got := peers(w.all(logic.InboxQuery{User: 1, Device: 1, Since: ofOne}).States); !slices.Contains(got, peer) {
				w.t.Fatalf("%s, %s: user 1 is told of %v, which lacks %d", change.name, when, got, peer)
			}
			if got := peers(w.all(logic.InboxQuery{User: peer, Device: 1, Since: ofPeer}).States); !slices.Contains(got, 1) {
				w.t.Fatalf("%s, %s: the peer is told of %v", change.name, when, got)
			}
		}
		change.make()
		look("at once")
		w.clock.Add(1000)
		id++
		w.send(other, 1, 1, id) // takes acks along
		look("a second later")
		w.reopen()
		look("after a restart")
	}
	w.wantChanged(1, 0, peer, other)
}

func sinceUnknown(w *world) {
	for peer := uint64(10); peer < 15; peer++ {
		w.send(1, 1, peer, 1)
	}
	w.reopen() // nothing is left to be written
	next := w.next(1)
	for _, since := range []uint64{0, next + 1_000_000, ^uint64(0)} {
		w.wantChanged(1, since, 10, 11, 12, 13, 14)
	}
}

// sinceReopen: what was asked and done without any change does not carry the
// numbers of a store away from those that come after a restart.
func sinceReopen(w *world) {
	peers := append(w.queuePeers(), 1000, 1001)
	for _, peer := range peers {
		w.send(1, 1, peer, 1)
	}
	w.clock.Add(1000)
	for _, peer := range peers {
		w.send(peer, 1, 1, 1) // takes the acks along, and is not acked itself: nothing is left to be written
	}
	for _, step := range []int64{0, -86_400_000, 3600_000, -1} {
		for range 20 {
			for _, peer := range peers {
				w.wantRepeated(w.send(peer, 1, 1, 1), logic.Entry{Seq: 2, Time: startTime + 1000})
			}
		}
		since := w.next(1)
		w.clock.Add(step)
		w.reopen()
		first := w.next(1)
		head := w.headOf(direct(1, 1000))
		w.wantNew(w.send(1000, 1, 1, head), head+1)
		for range 20*len(peers) + 10 { // the store's number passes what was given
			head := w.headOf(direct(1, 1001))
			w.wantNew(w.send(1001, 1, 1, head), head+1)
		}
		w.wantChanged(1, since, 1000)
		w.wantChanged(1, first, 1000)
	}
}

func sinceCrash(w *world) {
	for _, peer := range w.queuePeers() {
		w.send(1, 1, peer, 1)
		w.ack(peer, 1, 1, 1)
	}
	since := w.next(1)
	left := w.survivor()
	for queue, peer := range w.queuePeers() {
		left.wantNew(left.send(peer, 1, 1, uint64(queue+2)), 2)
		left.fill(2000, 1, 2001, 1+10*uint64(queue), 10)
	}
	left.wantChanged(1, since, left.queuePeers()...)
}

func sincePaging(w *world) {
	for peer := uint64(10); peer < 20; peer++ {
		w.send(1, 1, peer, 1)
	}
	first := w.page(logic.InboxQuery{User: 1, Device: 1, Limit: 5})
	w.send(1, 1, 11, 2)
	w.read(12, 1, 1)
	second := w.page(logic.InboxQuery{User: 1, Device: 1, Limit: 5, After: first.After})
	if got := append(peers(first.States), peers(second.States)...); len(got) != 10 || second.Next < first.Next {
		w.t.Fatalf("the pages have %v, next %d and %d", got, first.Next, second.Next)
	}
	w.wantChanged(1, first.Next, 11, 12)
}

// sinceFollows: a reader takes what changed since it asked last while many write.
func sinceFollows(w *world) {
	const conversations, rounds = 12, 60
	var writers sync.WaitGroup
	var writing atomic.Int64
	writing.Store(conversations)
	for peer := uint64(2); peer < 2+conversations; peer++ {
		writers.Go(func() {
			defer writing.Add(-1)
			for id := uint64(1); id <= rounds; id++ {
				b := new(batch).send(1, 1, peer, id, "hello")
				switch id % 4 {
				case 1:
					b.read(peer, 1, 1, id)
				case 2:
					b = new(batch).send(1, 1, peer, id-1, "hello").ack(1, 1, peer, id) // nothing new
				case 3:
					b.read(1, 1, peer, id)
				}
				if err := w.try(w.t.Context(), b); err != nil {
					w.t.Error(err)
				}
			}
		})
	}
	known := make(map[uint64]view)
	since := uint64(0)
	for ended := false; !ended; {
		ended = writing.Load() == 0 // one more round then
		page := w.all(logic.InboxQuery{User: 1, Device: 1, Since: since, Limit: 5})
		for _, s := range page.States {
			known[s.Target.ID] = view{head: s.Head, read: s.PeerRead, unread: s.Read}
		}
		since = page.Next
	}
	writers.Wait()
	for _, s := range w.all(logic.InboxQuery{User: 1, Device: 1}).States {
		if want := (view{head: s.Head, read: s.PeerRead, unread: s.Read}); known[s.Target.ID] != want {
			w.t.Fatalf("the reader knows %+v of the conversation with %d, want %+v", known[s.Target.ID], s.Target.ID, want)
		}
	}
	if len(known) != conversations {
		w.t.Fatalf("the reader knows %d conversations, want %d", len(known), conversations)
	}
}
