package conformance

import (
	"math/rand/v2"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/protocol"
)

var unreadStories = []run{
	{"one's own messages are never unread, nor are silent ones", unreadCounts},
	{"unread at, below and above the head", unreadReads},
	{"unread in a conversation with oneself", unreadSelf},
	{"unread against a model", unreadModel},
}

// wantUnread checks what both users of the conversation see as unread, at once,
// again, and after a restart.
func (w *world) wantUnread(a, b, ofA, ofB uint64) {
	w.t.Helper()
	for try := range 3 {
		if got, other := w.view(a, 1, b).unread, w.view(b, 1, a).unread; got != ofA || other != ofB {
			w.t.Fatalf("try %d: users %d and %d have %d and %d unread, want %d and %d", try, a, b, got, other, ofA, ofB)
		}
		if try == 1 {
			w.reopen()
		}
	}
}

func unreadCounts(w *world) {
	w.apply(new(batch).
		send(1, 1, 2, 1, "one").silent(1, 1, 2, 2).send(2, 1, 1, 1, "two").
		silent(2, 1, 1, 2).silent(2, 2, 1, 1).send(2, 2, 1, 2, "three").send(1, 2, 2, 1, "four"))
	w.wantUnread(1, 2, 2, 2)
	w.apply(new(batch).silent(1, 1, 2, 3).silent(2, 1, 1, 3))
	w.wantUnread(1, 2, 2, 2)
	w.read(1, 2, 2)
	w.read(2, 1, 2)
	w.wantUnread(1, 2, 2, 1)
	w.read(1, 2, 3)
	w.wantUnread(1, 2, 1, 1)
	w.read(1, 2, 5) // up to a silent one, before the other's second
	w.wantUnread(1, 2, 1, 1)
	w.read(1, 2, 6)
	w.wantUnread(1, 2, 0, 1)
	w.read(2, 1, 9)
	w.wantUnread(1, 2, 0, 0)
	w.apply(new(batch).silent(1, 1, 2, 4).send(1, 1, 2, 5, "five"))
	w.wantUnread(1, 2, 0, 1)
}

func unreadReads(w *world) {
	w.fill(1, 1, 2, 1, 70)
	w.fill(1, 2, 2, 1, 70)
	w.wantUnread(1, 2, 0, 140)
	w.read(2, 1, 0)
	w.wantUnread(1, 2, 0, 140)
	w.read(2, 1, 139)
	w.wantUnread(1, 2, 0, 1)
	w.read(2, 1, 5)
	w.wantUnread(1, 2, 0, 1)
	w.read(2, 1, 140)
	w.wantUnread(1, 2, 0, 0)
	w.fill(2, 1, 1, 1, 10)
	w.wantUnread(1, 2, 10, 0)
	w.read(1, 2, 1_000_000)
	w.wantUnread(1, 2, 0, 0)
	w.fill(1, 1, 2, 71, 3)
	w.fill(2, 1, 1, 11, 3)
	w.wantUnread(1, 2, 3, 3)
	w.read(1, 2, 154)
	w.read(2, 1, 152)
	w.wantUnread(1, 2, 2, 1)
}

func unreadSelf(w *world) {
	w.fill(7, 1, 7, 1, 5)
	w.fill(7, 2, 7, 1, 5)
	w.wantUnread(7, 7, 0, 0)
	w.read(7, 7, 3)
	w.wantUnread(7, 7, 0, 0)
	w.apply(new(batch).silent(7, 1, 7, 6).send(7, 1, 7, 7, "hello"))
	w.wantUnread(7, 7, 0, 0)
	w.read(7, 7, 12)
	w.wantUnread(7, 7, 0, 0)
}

// unreadModel writes, reads and restarts at random, in conversations of two, with
// oneself and with the server, and counts beside the store.
func unreadModel(w *world) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	type talk struct {
		messages []said
		read     map[uint64]uint64
		ids      map[uint64]uint64
	}
	talks := make(map[protocol.Conversation]*talk)
	all := []protocol.Conversation{direct(1, 2), direct(1, 3), direct(2, 3), direct(1, 1), system(1)}
	for _, c := range all {
		talks[c] = &talk{read: make(map[uint64]uint64), ids: make(map[uint64]uint64)}
	}
	for range 150 {
		c := all[rng.IntN(len(all))]
		x := talks[c]
		b := new(batch)
		for range 1 + rng.IntN(8) {
			user := [...]uint64{c.A, c.B}[rng.IntN(2)]
			if c.Kind == protocol.KindSystem {
				user = [...]uint64{c.A, 0}[rng.IntN(2)]
			}
			if user != 0 && rng.IntN(4) == 0 || user != 0 && c.Kind == protocol.KindSystem {
				seq := rng.Uint64N(uint64(len(x.messages)) + 3)
				b.cursor(hop.OpRead, user, 1, c, seq)
				x.read[user] = max(x.read[user], min(seq, uint64(len(x.messages))))
				continue
			}
			silent := rng.IntN(4) == 0
			x.ids[user]++
			b.message(protocol.Message{Target: c.Target(user), Sender: user, Device: 1, ClientID: x.ids[user]}, silent)
			x.messages = append(x.messages, said{user, silent})
		}
		w.apply(b)
		if rng.IntN(30) == 0 {
			w.reopen()
		}
		if rng.IntN(3) > 0 {
			continue
		}
		for user := uint64(1); user <= 3; user++ {
			for _, s := range w.all(logic.InboxQuery{User: user, Device: 1}).States {
				x := talks[s.Target.Conversation(user)]
				n, own := counts(x.messages[x.read[user]:], user)
				if s.Unread != n-own || s.Read != x.read[user] || s.Head != uint64(len(x.messages)) {
					w.t.Fatalf("seed %d: user %d sees %v at head %d, read %d, unread %d; want %d, %d, %d",
						seed, user, s.Target, s.Head, s.Read, s.Unread, len(x.messages), x.read[user], n-own)
				}
			}
		}
	}
}
