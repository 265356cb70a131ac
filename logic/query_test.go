package logic_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gannet/protocol"
)

// query gives the one frame that answers.
func (r *rig) query(req protocol.Request) protocol.Frame {
	r.t.Helper()
	reply := r.Query(context.Background(), req)
	if reply.Conn != req.Conn {
		r.t.Fatalf("the reply is for connection %d, want %d", reply.Conn, req.Conn)
	}
	return only(r.t, reply)
}

func (r *rig) history(user uint64, q protocol.History) (protocol.Messages, []uint64) {
	r.t.Helper()
	f := r.query(from(user, 1, q.AppendFrame(nil, 77)))
	var page protocol.Messages
	if f.Type != protocol.TypeMessages || f.Request != 77 || page.Decode(f.Payload) != nil {
		r.t.Fatalf("HISTORY %+v was answered with %#x for request %d", q, f.Type, f.Request)
	}
	if page.Target != q.Target {
		r.t.Fatalf("the page is of %+v, want %+v", page.Target, q.Target)
	}
	var seqs []uint64
	for m := range page.All() {
		seqs = append(seqs, m.Seq)
	}
	return page, seqs
}

func seqs(first, last uint64) (all []uint64) {
	for seq := first; seq <= last; seq++ {
		all = append(all, seq)
	}
	return all
}

func (r *rig) fill(user, peer uint64, first, last uint64, body string) {
	r.t.Helper()
	var batch []protocol.Request
	for id := first; id <= last; id++ {
		batch = append(batch, send(user, 1, peer, id, body))
	}
	for _, reply := range r.forward(batch...) {
		if f := only(r.t, reply); f.Type != protocol.TypeSendAck {
			r.t.Fatalf("a message was answered with %#x", f.Type)
		}
	}
}

func TestHistory(t *testing.T) {
	r := newRig(t)
	r.fill(1, 2, 1, 300, "hello")
	for _, c := range []struct {
		q           protocol.History
		first, last uint64 // of the page; below the first: nothing
	}{
		{protocol.History{Direction: protocol.Forward, Seq: 0, Limit: 3}, 1, 3},
		{protocol.History{Direction: protocol.Forward, Seq: 5, Limit: 1}, 5, 5},
		{protocol.History{Direction: protocol.Forward, Seq: 298, Limit: 3}, 298, 300},
		{protocol.History{Direction: protocol.Forward, Seq: 299, Limit: 10}, 299, 300},
		{protocol.History{Direction: protocol.Forward, Seq: 301, Limit: 10}, 301, 300},
		{protocol.History{Direction: protocol.Forward, Seq: ^uint64(0), Limit: 10}, ^uint64(0), 300},
		{protocol.History{Direction: protocol.Forward}, 1, 256},
		{protocol.History{Direction: protocol.Forward, Limit: 60000}, 1, 256},
		{protocol.History{Direction: protocol.Backward, Seq: 0, Limit: 3}, 298, 300},
		{protocol.History{Direction: protocol.Backward, Seq: 10, Limit: 3}, 8, 10},
		{protocol.History{Direction: protocol.Backward, Seq: 2, Limit: 3}, 1, 2},
		{protocol.History{Direction: protocol.Backward, Seq: 1000, Limit: 1}, 300, 300},
		{protocol.History{Direction: protocol.Backward}, 45, 300},
	} {
		c.q.Target = to(2)
		page, got := r.history(1, c.q)
		want := []uint64(nil)
		if c.first <= c.last {
			want = seqs(c.first, c.last)
		}
		if page.First != c.first || page.Last != c.last || page.Head != 300 || !slices.Equal(got, want) {
			t.Errorf("%+v: %d to %d of %d with %v; want %d to %d of 300, every one", c.q, page.First, page.Last, page.Head, got, c.first, c.last)
		}
	}
}

func TestHistoryOfNothing(t *testing.T) {
	r := newRig(t)
	for _, direction := range []protocol.Direction{protocol.Forward, protocol.Backward} {
		page, got := r.history(1, protocol.History{Target: to(2), Direction: direction})
		if page.First <= page.Last || page.Head != 0 || len(got) != 0 {
			t.Errorf("direction %d: %+v with %v, want nothing", direction, page, got)
		}
	}
}

func TestHistoryStaysBelowMaxFrame(t *testing.T) {
	r := newRig(t)
	r.fill(1, 2, 1, 4, strings.Repeat("x", 30<<10))
	r.fill(1, 2, 5, 6, strings.Repeat("x", protocol.MaxBody))
	for _, c := range []struct {
		direction protocol.Direction
		seq       uint64
		want      []uint64
	}{
		{protocol.Forward, 1, []uint64{1, 2}},
		{protocol.Forward, 3, []uint64{3, 4}},
		{protocol.Forward, 5, []uint64{5}},
		{protocol.Backward, 0, []uint64{6}},
		{protocol.Backward, 4, []uint64{3, 4}},
	} {
		page, got := r.history(2, protocol.History{Target: to(1), Direction: c.direction, Seq: c.seq})
		if !slices.Equal(got, c.want) || page.First != c.want[0] || page.Last != c.want[len(c.want)-1] {
			t.Errorf("direction %d from %d: %d to %d with %v, want %v", c.direction, c.seq, page.First, page.Last, got, c.want)
		}
	}
}

func TestQueryRefused(t *testing.T) {
	r := newRig(t)
	for name, c := range map[string]struct {
		frame []byte
		code  protocol.Code
	}{
		"a short HISTORY":                 {protocol.AppendEmpty(nil, protocol.TypeHistory, 5), protocol.CodeBadPayload},
		"a short SYNC":                    {protocol.AppendEmpty(nil, protocol.TypeSync, 5), protocol.CodeBadPayload},
		"the history of a group":          {protocol.History{Target: protocol.Target{Kind: protocol.KindGroup, ID: 1}}.AppendFrame(nil, 5), protocol.CodeBadTarget},
		"the history of a system channel": {protocol.History{Target: protocol.Target{Kind: protocol.KindSystem, ID: 2}}.AppendFrame(nil, 5), protocol.CodeBadTarget},
		"the history with nobody":         {protocol.History{Target: to(0)}.AppendFrame(nil, 5), protocol.CodeBadTarget},
		"an unknown direction":            {protocol.History{Target: to(2), Direction: 2}.AppendFrame(nil, 5), protocol.CodeBadRequest},
		"a frame that is not a query":     {protocol.AppendEmpty(nil, protocol.TypeSend, 5), protocol.CodeUnknownType},
	} {
		t.Run(name, func(t *testing.T) { wantError(t, r.query(from(1, 1, c.frame)), 5, c.code) })
	}
}

// TestIsolation: whatever a third user asks for, nothing of a conversation of
// two others comes.
func TestIsolation(t *testing.T) {
	r := newRig(t)
	r.fill(1, 2, 1, 5, "secret")
	for _, peer := range []uint64{1, 2, 3} {
		for _, direction := range []protocol.Direction{protocol.Forward, protocol.Backward} {
			if _, got := r.history(3, protocol.History{Target: to(peer), Direction: direction}); len(got) != 0 {
				t.Errorf("user 3 reads %v with %d", got, peer)
			}
		}
		if pushes := r.redeliver(3, 1, peer, 1, 5); len(pushes) != 0 {
			t.Errorf("user 3 gets %v pushed", pushes)
		}
	}
	if _, states := r.sync(3, protocol.Sync{}); len(states) != 0 {
		t.Errorf("user 3 syncs %+v", states)
	}
	r.forward(read(3, 1, 1, 5, 0), read(3, 1, 2, 5, 0))
	if n := len(r.published()); n != 5 {
		t.Errorf("%d frames published, want the 5 messages: user 3 has nothing to read", n)
	}
}

// redeliver gives the seqs that are pushed again.
func (r *rig) redeliver(user, device, peer, first, last uint64) (got []uint64) {
	r.t.Helper()
	req := from(user, device, protocol.AppendEmpty(nil, protocol.TypeRedeliver, 0))
	req.Frame.Payload = protocol.Range{Target: to(peer), First: first, Last: last}.AppendPayload(nil)
	reply := r.Query(context.Background(), req)
	if len(reply.Bytes) > protocol.MaxFrame {
		r.t.Fatalf("%d bytes are pushed again, over the limit", len(reply.Bytes))
	}
	for _, f := range split(r.t, reply.Bytes) {
		var m protocol.Message
		if f.Type != protocol.TypePush || f.Request != 0 || m.Decode(f.Payload) != nil {
			r.t.Fatalf("frame %#x, want a PUSH", f.Type)
		}
		got = append(got, m.Seq)
	}
	return got
}

func TestRedeliver(t *testing.T) {
	r := newRig(t)
	r.forward(send(1, 1, 2, 1, "one"), send(2, 1, 1, 1, "two"), send(2, 2, 1, 1, "three"), send(1, 1, 2, 2, "four"))
	for _, c := range []struct {
		user, device, peer, first, last uint64
		want                            []uint64
	}{
		{2, 1, 1, 1, 4, []uint64{1, 3, 4}}, // 2 is its own
		{2, 2, 1, 2, 3, []uint64{2}},
		{1, 1, 2, 1, 4, []uint64{2, 3}},
		{1, 9, 2, 4, 99, []uint64{4}},
		{1, 9, 2, 5, 99, nil},
	} {
		if got := r.redeliver(c.user, c.device, c.peer, c.first, c.last); !slices.Equal(got, c.want) {
			t.Errorf("user %d, device %d, %d to %d: %v, want %v", c.user, c.device, c.first, c.last, got, c.want)
		}
	}
	r.fill(1, 2, 10, 13, strings.Repeat("x", 30<<10))
	if got := r.redeliver(2, 1, 1, 5, 8); !slices.Equal(got, []uint64{5, 6}) {
		t.Errorf("of four large messages %v are pushed again, want as many as fit", got)
	}
}

func (r *rig) sync(user uint64, q protocol.Sync) (page protocol.Synced, states []protocol.State) {
	r.t.Helper()
	f := r.query(from(user, 1, q.AppendFrame(nil, 66)))
	if f.Type != protocol.TypeSynced || f.Request != 66 || page.Decode(f.Payload) != nil {
		r.t.Fatalf("SYNC %+v was answered with %#x for request %d", q, f.Type, f.Request)
	}
	for s := range page.States() {
		states = append(states, s)
	}
	return page, states
}

func TestSyncShowsBothSides(t *testing.T) {
	r := newRig(t)
	r.fill(1, 2, 1, 5, "hello")
	r.forward(pushAck(2, 1, 1, 4, 0), read(2, 1, 1, 3, 0))
	for _, want := range []struct {
		user  uint64
		state protocol.State
	}{
		{1, protocol.State{Target: to(2), Head: 5, Delivered: 5, Read: 5, PeerDelivered: 4, PeerRead: 3, Unread: 0}},
		{2, protocol.State{Target: to(1), Head: 5, Delivered: 4, Read: 3, PeerDelivered: 5, PeerRead: 5, Unread: 2}},
	} {
		page, states := r.sync(want.user, protocol.Sync{})
		if len(states) != 1 || page.More || page.After != want.state.Target || page.Next != uint64(r.clock.Add(-5*time.Second).UnixMilli()) {
			t.Fatalf("user %d: page %+v", want.user, page)
		}
		var last protocol.Message
		if err := last.Decode(states[0].Last); err != nil || last.Seq != 5 || string(last.Body) != "hello" {
			t.Errorf("user %d: the last message is %+v (%v)", want.user, last, err)
		}
		states[0].Last = nil
		if fmt.Sprint(states[0]) != fmt.Sprint(want.state) {
			t.Errorf("user %d sees %+v, want %+v", want.user, states[0], want.state)
		}
	}
}

func TestSyncSince(t *testing.T) {
	r := newRig(t)
	r.fill(1, 2, 1, 1, "old")
	r.fill(1, 3, 1, 1, "old")
	r.fill(1, 4, 1, 1, "old")
	r.clock = r.clock.Add(time.Minute)
	page, states := r.sync(1, protocol.Sync{})
	if len(states) != 3 {
		t.Fatalf("%d conversations, want 3", len(states))
	}
	if _, states = r.sync(1, protocol.Sync{Since: page.Next}); len(states) != 0 {
		t.Fatalf("%d conversations changed since, want none", len(states))
	}
	r.fill(3, 1, 1, 1, "new")
	r.forward(read(4, 1, 1, 1, 0))
	_, states = r.sync(1, protocol.Sync{Since: page.Next})
	if len(states) != 2 || states[0].Target != to(3) || states[0].Unread != 1 || states[1].Target != to(4) || states[1].PeerRead != 1 {
		t.Fatalf("changed since: %+v, want a message with 3 and a cursor with 4", states)
	}
}

func TestSyncPages(t *testing.T) {
	r := newRig(t)
	for peer := uint64(2); peer < 302; peer++ {
		r.fill(1, peer, 1, 1, "hello")
	}
	for limit, perPage := range map[uint16]int{0: protocol.MaxPage, 100: 100, 150: 150, 60000: protocol.MaxPage} {
		q := protocol.Sync{Limit: limit}
		next := uint64(2)
		for {
			page, states := r.sync(1, q)
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
}

func TestSyncStaysBelowMaxFrame(t *testing.T) {
	r := newRig(t)
	for peer := uint64(2); peer < 5; peer++ {
		r.fill(1, peer, 1, 1, strings.Repeat("x", protocol.MaxBody))
	}
	q := protocol.Sync{}
	for peer := uint64(2); peer < 5; peer++ {
		page, states := r.sync(1, q)
		if len(states) != 1 || states[0].Target != to(peer) || page.More != (peer < 4) {
			t.Fatalf("page %+v with %d conversations, want that with %d", page, len(states), peer)
		}
		q.After = page.After
	}
}

// TestSyncOfVeryMany: a SYNC that finds nothing among very many conversations
// says how far it looked.
func TestSyncOfVeryMany(t *testing.T) {
	const looked, all = 4096, 4100
	r := newRig(t)
	var batch []protocol.Request
	for peer := uint64(2); peer < 2+all; peer++ {
		batch = append(batch, send(1, 1, peer, 1, "hello"))
	}
	r.forward(batch...)
	since := uint64(r.clock.UnixMilli()) + 1
	page, states := r.sync(1, protocol.Sync{Since: since})
	if len(states) != 0 || !page.More || page.After != to(1+looked) {
		t.Fatalf("page %+v with %d conversations, want none and more after %d", page, len(states), 1+looked)
	}
	page, states = r.sync(1, protocol.Sync{Since: since, After: page.After})
	if len(states) != 0 || page.More || page.After != to(1+all) {
		t.Fatalf("page %+v with %d conversations, want the end", page, len(states))
	}
}
