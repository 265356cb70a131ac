package embedded

import (
	"math/rand/v2"
	"sync"

	"gannet/logic"
	"gannet/protocol"
)

// crashSeen is what readers were shown: but for acks, what is visible is durable.
type crashSeen struct {
	mu    sync.Mutex
	heads map[protocol.Conversation]uint64
	reads map[[2]uint64]uint64 // by user and peer
	next  map[uint64]uint64    // by user: the since of the last query
}

func newCrashSeen() *crashSeen {
	return &crashSeen{heads: make(map[protocol.Conversation]uint64), reads: make(map[[2]uint64]uint64), next: make(map[uint64]uint64)}
}

// readAlong asks for inboxes and histories until the crash, and notes what it is shown.
func (w *crashWorld) readAlong(rng *rand.Rand) {
	for {
		user := 1 + rng.Uint64N(crashUsers)
		w.seen.mu.Lock()
		since := w.seen.next[user]
		w.seen.mu.Unlock()
		inbox, err := w.store.Changed(w.t.Context(), logic.InboxQuery{User: user, Device: 1, Since: since, Limit: 9, Room: protocol.MaxFrame})
		if err != nil {
			w.t.Errorf("%s: %v", w.name, err)
			return
		}
		page := logic.Page{Conversation: direct(user, 1+rng.Uint64N(crashUsers)), Backward: true, Limit: 3, Room: protocol.MaxFrame}
		if err := w.store.Pages(w.t.Context(), []*logic.Page{&page}); err != nil || page.Err != nil || page.Head > 0 && page.Count == 0 {
			w.t.Errorf("%s: %v, %+v", w.name, err, page)
			return
		}
		w.mu.RLock()
		dead := w.dead
		if !dead {
			w.seen.note(user, inbox, &page)
		}
		w.mu.RUnlock()
		if dead {
			return
		}
	}
}

func (s *crashSeen) note(user uint64, inbox logic.InboxPage, page *logic.Page) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heads[page.Conversation] = max(s.heads[page.Conversation], page.Head)
	for _, state := range inbox.States {
		c, peer := state.Target.Conversation(user), state.Target.ID
		s.heads[c] = max(s.heads[c], state.Head)
		s.reads[[2]uint64{user, peer}] = max(s.reads[[2]uint64{user, peer}], state.Read)
		s.reads[[2]uint64{peer, user}] = max(s.reads[[2]uint64{peer, user}], state.PeerRead)
	}
	if !inbox.More {
		s.next[user] = max(s.next[user], inbox.Next)
	}
}

// checkSeen: what was shown before the crash is there, and what readers were not shown
// is among what changed since they asked.
func (w *crashWorld) checkSeen() {
	for c, head := range w.seen.heads {
		if got := headOf(w.t, w.store, c); got < head {
			w.t.Errorf("%s: head %d of %v was shown, and is %d after the crash", w.name, head, c, got)
		}
	}
	for who, read := range w.seen.reads {
		if state := stateOf(w.t, w.store, who[0], 1, who[1]); state.Read < read {
			w.t.Errorf("%s: user %d was shown to have read %d of the conversation with %d, and has read %d", w.name, who[0], read, who[1], state.Read)
		}
	}
	for user := uint64(1); user <= crashUsers; user++ {
		changed := make(map[protocol.Target]bool)
		for _, state := range w.inbox(user, w.seen.next[user]) {
			changed[state.Target] = true
		}
		for _, state := range w.inbox(user, 0) {
			c := state.Target.Conversation(user)
			if state.Head > w.seen.heads[c] && !changed[state.Target] {
				w.t.Errorf("%s: user %d knows head %d of %v, and is not told of head %d since %d", w.name, user, w.seen.heads[c], c, state.Head, w.seen.next[user])
			}
		}
	}
}

func (w *crashWorld) inbox(user, since uint64) []protocol.State {
	page, err := w.store.Changed(w.t.Context(), logic.InboxQuery{User: user, Device: 1, Since: since, Limit: 9, Room: protocol.MaxFrame})
	if err != nil || page.More {
		w.t.Fatalf("%s: %v, %+v", w.name, err, page)
	}
	return page.States
}
