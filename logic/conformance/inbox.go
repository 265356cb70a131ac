package conformance

import (
	"context"
	"slices"
	"testing"

	"gannet/logic"
	"gannet/protocol"
)

// Inbox holds an adapter of logic.Inbox to its guarantees.
func Inbox(t *testing.T, open Open) {
	runAll(t, open, []run{
		{"both users have the conversation, others do not", inboxOfBoth},
		{"ordered by target, whatever came first", inboxOrder},
		{"page by page", inboxPages},
		{"a conversation with oneself is there once", inboxSelf},
		{"the newest message and the time of the last change", inboxChanges},
	})
}

// inbox gives what the user's inbox visits, at most limit.
func (w *world) inbox(user uint64, after protocol.Target, limit int) (found []logic.Summary) {
	w.t.Helper()
	err := w.Inbox.Conversations(context.Background(), user, after, func(s logic.Summary) bool {
		s.Last = slices.Clone(s.Last)
		found = append(found, s)
		return len(found) < limit
	})
	if err != nil {
		w.t.Fatalf("Conversations: %v", err)
	}
	return found
}

func (w *world) wantPeers(user uint64, found []logic.Summary, want ...uint64) {
	w.t.Helper()
	var got []uint64
	for _, s := range found {
		got = append(got, s.Conversation.Target(user).ID)
	}
	if !slices.Equal(got, want) {
		w.t.Fatalf("the inbox of %d has %v, want %v", user, got, want)
	}
}

func inboxOfBoth(w *world) {
	w.wantPeers(1, w.inbox(1, protocol.Target{}, 100))
	w.send(1, 1, 2, 1)
	w.move(3, 2, 1, 1) // cursors make no conversation
	for range 2 {
		w.wantPeers(1, w.inbox(1, protocol.Target{}, 100), 2)
		w.wantPeers(2, w.inbox(2, protocol.Target{}, 100), 1)
		w.wantPeers(3, w.inbox(3, protocol.Target{}, 100))
		w.reopen()
	}
}

func inboxOrder(w *world) {
	for _, peer := range []uint64{300, 2, 1 << 40, 256, ^uint64(0), 9} {
		w.send(5, 1, peer, 1)
	}
	w.send(3, 1, 5, 1)
	w.wantPeers(5, w.inbox(5, protocol.Target{}, 100), 2, 3, 9, 256, 300, 1<<40, ^uint64(0))
}

func inboxPages(w *world) {
	for peer := uint64(10); peer < 20; peer++ {
		w.send(1, 1, peer, 1)
	}
	w.wantPeers(1, w.inbox(1, protocol.Target{}, 4), 10, 11, 12, 13)
	w.wantPeers(1, w.inbox(1, to(13), 4), 14, 15, 16, 17)
	w.wantPeers(1, w.inbox(1, to(17), 4), 18, 19)
	w.wantPeers(1, w.inbox(1, to(19), 4))
	w.wantPeers(1, w.inbox(1, to(5), 1), 10) // after need not exist
}

func inboxSelf(w *world) {
	w.send(1, 1, 1, 1)
	w.send(1, 1, 2, 1)
	w.wantPeers(1, w.inbox(1, protocol.Target{}, 100), 1, 2)
}

func inboxChanges(w *world) {
	want := func(step string, head, changed uint64, body string) {
		w.t.Helper()
		for _, user := range []uint64{1, 2} {
			found := w.inbox(user, protocol.Target{}, 100)
			if len(found) != 1 {
				w.t.Fatalf("%s: %d conversations, want 1", step, len(found))
			}
			var last protocol.Message
			if err := last.Decode(found[0].Last); err != nil {
				w.t.Fatalf("%s: %v", step, err)
			}
			if s := found[0]; s.Head != head || s.Changed != changed || last.Seq != head || string(last.Body) != body {
				w.t.Fatalf("%s: head %d, changed %d, last %d %q; want %d, %d, %q", step, s.Head, s.Changed, last.Seq, last.Body, head, changed, body)
			}
		}
	}
	w.append(new(batch).send(1, 1, 2, 1, "first"))
	want("a message", 1, startTime, "first")
	w.clock.Add(1000)
	w.append(new(batch).send(1, 1, 2, 2, "second"))
	want("another message", 2, startTime+1000, "second")
	w.clock.Add(1000)
	w.move(2, 1, 1, 0)
	want("a cursor", 2, startTime+2000, "second")
	w.clock.Add(1000)
	w.move(2, 1, 1, 0)
	want("a cursor that did not rise", 2, startTime+2000, "second")
	w.reopen()
	want("a restart", 2, startTime+2000, "second")
}
