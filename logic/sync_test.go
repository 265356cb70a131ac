package logic_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"gannet/internal/hop"
	"gannet/protocol"
)

func (r *rig) sync(user, device uint64, q protocol.Sync) (page protocol.Synced, states []protocol.State) {
	r.t.Helper()
	b, err := r.Query(r.t.Context(), &hop.Query{Identity: identity(user, device), Frame: q.AppendFrame(nil, 66)})
	if err != nil {
		r.t.Fatal(err)
	}
	f := one(r.t, b)
	if f.Type != protocol.TypeSynced || f.Request != 66 || page.Decode(f.Payload) != nil {
		r.t.Fatalf("SYNC %+v was answered with %#x for request %d", q, f.Type, f.Request)
	}
	for s := range page.States() {
		states = append(states, s)
	}
	return page, states
}

func TestSyncShowsBothSides(t *testing.T) {
	r := newRig(t, nil)
	r.fill(1, 2, 1, 5, "hello")
	r.forward(pushAck(2, 1, 1, 4, 0), read(2, 1, 1, 3, 0))
	for _, want := range []struct {
		user, device uint64
		state        protocol.State
	}{
		{1, 1, protocol.State{Target: to(2), Head: 5, Delivered: 5, PeerDelivered: 4, PeerRead: 3, Acked: 5}},
		{1, 2, protocol.State{Target: to(2), Head: 5, Delivered: 5, PeerDelivered: 4, PeerRead: 3}},
		{2, 1, protocol.State{Target: to(1), Head: 5, Delivered: 4, Read: 3, PeerDelivered: 5, Unread: 2, Acked: 4}},
	} {
		page, states := r.sync(want.user, want.device, protocol.Sync{})
		if len(states) != 1 || page.More || page.After != want.state.Target || page.Next == 0 {
			t.Fatalf("user %d: page %+v", want.user, page)
		}
		var last protocol.Message
		if err := last.Decode(states[0].Last); err != nil || last.Seq != 5 || string(last.Body) != "hello" || states[0].LastSize != 5 {
			t.Errorf("user %d: the last message is %+v (%v), of %d bytes", want.user, last, err, states[0].LastSize)
		}
		states[0].Last, states[0].LastSize = nil, 0
		if !reflect.DeepEqual(states[0], want.state) {
			t.Errorf("user %d, device %d: %+v, want %+v", want.user, want.device, states[0], want.state)
		}
	}
	wantNoTrouble(t, r.Service)
}

func TestSyncSince(t *testing.T) {
	r := newRig(t, nil)
	r.fill(1, 2, 1, 1, "old")
	r.fill(1, 3, 1, 1, "old")
	r.fill(1, 4, 1, 1, "old")
	page, states := r.sync(1, 1, protocol.Sync{})
	if len(states) != 3 {
		t.Fatalf("%d conversations, want 3", len(states))
	}
	if _, states = r.sync(1, 1, protocol.Sync{Since: page.Next}); len(states) != 0 {
		t.Fatalf("%d conversations changed since, want none", len(states))
	}
	r.fill(3, 1, 1, 1, "new")
	r.forward(read(4, 1, 1, 1, 0))
	_, states = r.sync(1, 1, protocol.Sync{Since: page.Next})
	if len(states) != 2 || states[0].Target != to(3) || states[0].Unread != 1 || states[1].Target != to(4) || states[1].PeerRead != 1 {
		t.Fatalf("changed since: %+v, want a message with 3 and a cursor with 4", states)
	}
	// A store that never gave such a number out gives everything.
	if _, states = r.sync(1, 1, protocol.Sync{Since: ^uint64(0)}); len(states) != 3 {
		t.Errorf("%d conversations since a number of another store, want all", len(states))
	}
}

// A device that asks for what it has not acked gets what is past its own acks, and
// that alone: so one that stores nothing goes on where it was.
func TestSyncOfWhatIsNotAcked(t *testing.T) {
	r := newRig(t, nil)
	r.fill(2, 1, 1, 3, "a")
	r.fill(3, 1, 1, 2, "b")
	r.fill(1, 4, 1, 2, "mine")
	r.forward(pushAck(1, 1, 2, 3, 0), pushAck(1, 1, 3, 1, 0))
	_, states := r.sync(1, 1, protocol.Sync{Unacked: true})
	if len(states) != 1 || states[0].Target != to(3) || states[0].Acked != 1 || states[0].Head != 2 {
		t.Errorf("device 1: %+v, want that with 3 from its ack on", states)
	}
	if _, states = r.sync(1, 2, protocol.Sync{Unacked: true}); len(states) != 3 || states[0].Acked != 0 {
		t.Errorf("device 2, which never acked: %+v", states)
	}
}

func TestSyncPages(t *testing.T) {
	r := newRig(t, nil)
	for peer := uint64(2); peer < 302; peer++ {
		r.fill(1, peer, 1, 1, "hello")
	}
	for limit, perPage := range map[uint16]int{0: protocol.MaxPage, 100: 100, 150: 150, 60000: protocol.MaxPage} {
		q := protocol.Sync{Limit: limit}
		next := uint64(2)
		for {
			page, states := r.sync(1, 1, q)
			if len(states) != min(perPage, int(302-next)) {
				t.Fatalf("limit %d: %d conversations in the page from %d on", limit, len(states), next)
			}
			for _, s := range states {
				if s.Target != to(next) {
					t.Fatalf("limit %d: %+v, want the conversation with %d", limit, s.Target, next)
				}
				next++
			}
			if q.After = page.After; page.After != to(next-1) {
				t.Fatalf("limit %d: the page goes on after %+v, want %d", limit, page.After, next-1)
			}
			if !page.More {
				break
			}
		}
		if next != 302 {
			t.Errorf("limit %d: the pages end before %d, want 302", limit, next)
		}
	}
	wantNoTrouble(t, r.Service)
}

// Messages are cut down to previews, so a page of the largest messages is no larger
// than one of small ones.
func TestSyncCutsTheLastMessage(t *testing.T) {
	r := newRig(t, nil)
	body := strings.Repeat("x", protocol.MaxBody)
	for peer := uint64(2); peer < 2+protocol.MaxPage; peer++ {
		r.fill(1, peer, 1, 1, body)
	}
	page, states := r.sync(1, 1, protocol.Sync{})
	if len(states) < 100 {
		t.Fatalf("page %+v with %d conversations", page, len(states))
	}
	for _, s := range states {
		var last protocol.Message
		if err := last.Decode(s.Last); err != nil || string(last.Body) != body[:protocol.MaxPreview] || s.LastSize != protocol.MaxBody {
			t.Fatalf("the preview has %d bytes of %d (%v)", len(last.Body), s.LastSize, err)
		}
	}
	for page.More {
		var rest []protocol.State
		page, rest = r.sync(1, 1, protocol.Sync{After: page.After})
		states = append(states, rest...)
	}
	if len(states) != protocol.MaxPage {
		t.Errorf("%d conversations in all pages", len(states))
	}
	wantNoTrouble(t, r.Service)
}

// A SYNC that finds nothing among very many conversations says how far it looked.
func TestSyncOfVeryMany(t *testing.T) {
	const looked, all = 4096, 4100
	r := newRig(t, nil)
	var frames []asked
	for peer := uint64(2); peer < 2+all; peer++ {
		frames = append(frames, send(1, 1, peer, 1, "hello"))
	}
	for some := range slices.Chunk(frames, 100) { // as many as one user may have loaded by one record
		r.forward(some...)
	}
	page, _ := r.sync(1, 1, protocol.Sync{Limit: 1})
	since := page.Next
	page, states := r.sync(1, 1, protocol.Sync{Since: since})
	if len(states) != 0 || !page.More || page.After != to(1+looked) {
		t.Fatalf("page %+v with %d conversations, want none and more after %d", page, len(states), 1+looked)
	}
	page, states = r.sync(1, 1, protocol.Sync{Since: since, After: page.After})
	if len(states) != 0 || page.More || page.After != to(1+all) {
		t.Fatalf("page %+v with %d conversations, want the end", page, len(states))
	}
	wantNoTrouble(t, r.Service)
}
