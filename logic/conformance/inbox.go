package conformance

import (
	"slices"
	"strings"
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
		{"pages bounded in bytes", inboxRoom},
		{"a conversation with oneself is there once", inboxSelf},
		{"the newest message, cut to a preview", inboxPreview},
		{"only what a device has not acked", inboxUnacked},
	}, sinceStories, unreadStories)
}

// peers gives the ids of the targets of states.
func peers(states []protocol.State) (ids []uint64) {
	for _, s := range states {
		ids = append(ids, s.Target.ID)
	}
	return ids
}

func (w *world) wantPeers(q logic.InboxQuery, want ...uint64) {
	w.t.Helper()
	if got := peers(w.all(q).States); !slices.Equal(got, want) {
		w.t.Fatalf("%+v gives %v, want %v", q, got, want)
	}
}

func inboxOfBoth(w *world) {
	w.wantPeers(logic.InboxQuery{User: 1, Device: 1})
	w.send(1, 1, 2, 1)
	w.ack(3, 2, 1, 1) // cursors make no conversation
	w.read(3, 2, 1)
	for range 2 {
		w.wantPeers(logic.InboxQuery{User: 1, Device: 1}, 2)
		w.wantPeers(logic.InboxQuery{User: 2, Device: 1}, 1)
		w.wantPeers(logic.InboxQuery{User: 3, Device: 1})
		w.reopen()
	}
}

func inboxOrder(w *world) {
	for _, peer := range []uint64{300, 2, 1 << 40, 256, ^uint64(0), 9} {
		w.send(5, 1, peer, 1)
	}
	w.send(3, 1, 5, 1)
	w.apply(new(batch).announce(5, 1))
	states := w.all(logic.InboxQuery{User: 5, Device: 1}).States
	if got := peers(states); !slices.Equal(got, []uint64{2, 3, 9, 256, 300, 1 << 40, ^uint64(0), 5}) {
		w.t.Fatalf("the order is %v", got)
	}
	if last := states[7]; last.Target.Kind != protocol.KindSystem || last.Head != 1 || last.Unread != 1 {
		w.t.Fatalf("what the server said is there as %+v", last)
	}
}

func inboxPages(w *world) {
	for peer := uint64(10); peer < 20; peer++ {
		w.send(1, 1, peer, 1)
	}
	want := func(after, limit uint64, more bool, last uint64, want ...uint64) {
		w.t.Helper()
		q := logic.InboxQuery{User: 1, Device: 1, Limit: int(limit)}
		if after != 0 {
			q.After = to(after)
		}
		page := w.page(q)
		if got := peers(page.States); !slices.Equal(got, want) || page.After != to(last) || page.More && !more {
			w.t.Fatalf("after %d at most %d: %v, up to %v, more %v; want %v, up to %d, %v", after, limit, got, page.After, page.More, want, last, more)
		}
		if more && !page.More {
			w.t.Fatalf("after %d at most %d: the page says that it is the last", after, limit)
		}
	}
	want(0, 4, true, 13, 10, 11, 12, 13)
	want(13, 4, true, 17, 14, 15, 16, 17)
	want(17, 4, false, 19, 18, 19)
	want(19, 4, false, 19)
	want(5, 1, true, 10, 10) // after need not exist
	want(0, 200, false, 19, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19)
	for limit := 1; limit <= 11; limit++ {
		w.wantPeers(logic.InboxQuery{User: 1, Device: 1, Limit: limit}, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19)
	}
}

func inboxRoom(w *world) {
	for peer := uint64(10); peer < 16; peer++ {
		w.apply(new(batch).send(1, 1, peer, 1, strings.Repeat("x", int(peer))))
	}
	whole := w.all(logic.InboxQuery{User: 1, Device: 1}).States
	size := func(states []protocol.State) (n int) {
		for _, s := range states {
			n += len(s.Append(nil))
		}
		return n
	}
	for n := 1; n <= len(whole); n++ {
		fits := size(whole[:n])
		for _, room := range []int{fits, fits + 1, size(whole[:min(n+1, len(whole))]) - 1} {
			if room < fits {
				continue
			}
			page := w.page(logic.InboxQuery{User: 1, Device: 1, Room: room})
			if got := peers(page.States); !slices.Equal(got, peers(whole[:n])) || page.More != (n < len(whole)) || page.After != whole[n-1].Target {
				w.t.Fatalf("%d bytes have room for %v, more %v, after %v; want %d conversations", room, got, page.More, page.After, n)
			}
		}
	}
	if page := w.page(logic.InboxQuery{User: 1, Device: 1, Room: 1}); len(page.States) != 1 || !page.More {
		w.t.Fatalf("a page without room has %d conversations, want the first all the same", len(page.States))
	}
	w.wantPeers(logic.InboxQuery{User: 1, Device: 1, Room: 1}, peers(whole)...)
}

func inboxSelf(w *world) {
	w.send(1, 1, 1, 1)
	w.send(1, 1, 2, 1)
	w.wantPeers(logic.InboxQuery{User: 1, Device: 1}, 1, 2)
}

func inboxPreview(w *world) {
	for id, size := range []int{0, 1, protocol.MaxPreview - 1, protocol.MaxPreview, protocol.MaxPreview + 1, protocol.MaxBody} {
		body := strings.Repeat("preview", size/7+1)[:size]
		sent := w.apply(new(batch).send(1, 3, 2, uint64(id+1), body))[0]
		for _, user := range []uint64{1, 2} {
			s, _ := w.state(user, 1, to(3-user))
			var last protocol.Message
			if err := last.Decode(s.Last); err != nil {
				w.t.Fatalf("a body of %d bytes: %v", size, err)
			}
			if int(s.LastSize) != size || string(last.Body) != body[:min(size, protocol.MaxPreview)] {
				w.t.Fatalf("a body of %d bytes is said to have %d, and shown with %d", size, s.LastSize, len(last.Body))
			}
			last.Body = nil
			want := protocol.Message{Target: to(2), Seq: sent.Seq, Time: sent.Time, Sender: 1, Device: 3, ClientID: sent.ClientID, Content: protocol.ContentText}
			if last.Seq != want.Seq || last.Time != want.Time || last.Sender != 1 || last.Device != 3 || last.ClientID != want.ClientID || last.Content != want.Content || last.Target != want.Target {
				w.t.Fatalf("the newest message is shown as %+v, want %+v", last, want)
			}
		}
	}
}

func inboxUnacked(w *world) {
	for _, peer := range []uint64{2, 3, 4, 5} {
		w.fill(peer, 1, 1, 1, 5)
	}
	query := func(device uint64) logic.InboxQuery { return logic.InboxQuery{User: 1, Device: device, Unacked: true} }
	w.wantPeers(query(1), 2, 3, 4, 5)
	w.ack(1, 1, 2, 5)
	w.ack(1, 1, 3, 4)
	w.ack(1, 2, 4, 5)
	w.read(1, 5, 5) // says nothing about the device
	for range 2 {
		w.wantPeers(query(1), 3, 4, 5)
		w.wantPeers(query(2), 2, 3, 5)
		w.wantPeers(query(9), 2, 3, 4, 5)
		w.wantPeers(logic.InboxQuery{User: 1, Device: 1}, 2, 3, 4, 5)
		w.reopen()
	}
	w.send(2, 1, 1, 6)
	w.wantPeers(query(1), 2, 3, 4, 5)
	w.ack(1, 1, 2, 6)
	w.ack(1, 1, 3, 5)
	w.wantPeers(query(1), 4, 5)
	w.send(1, 1, 2, 1) // the device's own message
	w.wantPeers(query(1), 4, 5)
	w.wantPeers(query(2), 2, 3, 5)
	w.wantPeers(logic.InboxQuery{User: 1, Device: 1, Unacked: true, Limit: 1}, 4, 5)
}
