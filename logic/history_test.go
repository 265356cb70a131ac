package logic_test

import (
	"slices"
	"strings"
	"testing"

	"gannet/internal/hop"
	"gannet/protocol"
)

// identity is that of a connection as batch makes them.
func identity(user, device uint64) hop.Identity {
	return hop.Identity{Gateway: 9, Conn: 100*user + device, User: user, Device: device}
}

// query gives the one frame that answers device 1 of a user.
func (r *rig) query(user uint64, frame []byte) protocol.Frame {
	r.t.Helper()
	b, err := r.Query(r.t.Context(), &hop.Query{Identity: identity(user, 1), Frame: frame})
	if err != nil {
		r.t.Fatal(err)
	}
	return one(r.t, b)
}

func (r *rig) history(user uint64, q protocol.History) (protocol.Messages, []uint64) {
	r.t.Helper()
	f := r.query(user, q.AppendFrame(nil, 77))
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

// fill has device 1 of a user send messages with the client ids first to last.
func (r *rig) fill(user, peer uint64, first, last uint64, body string) {
	r.t.Helper()
	var frames []asked
	for id := first; id <= last; id++ {
		frames = append(frames, send(user, 1, peer, id, body))
	}
	for _, a := range r.forward(frames...) {
		if a.frame.Type != protocol.TypeSendAck {
			r.t.Fatalf("a message was answered with %#x", a.frame.Type)
		}
	}
}

func TestHistory(t *testing.T) {
	r := newRig(t, nil)
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
	wantNoTrouble(t, r.Service)
}

func TestHistoryOfNothing(t *testing.T) {
	r := newRig(t, nil)
	for _, direction := range []protocol.Direction{protocol.Forward, protocol.Backward} {
		page, got := r.history(1, protocol.History{Target: to(2), Direction: direction})
		if page.First <= page.Last || page.Head != 0 || len(got) != 0 {
			t.Errorf("direction %d: %+v with %v, want nothing", direction, page, got)
		}
	}
	wantNoTrouble(t, r.Service)
}

func TestHistoryStaysBelowMaxFrame(t *testing.T) {
	r := newRig(t, nil)
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
	r := newRig(t, nil)
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
		t.Run(name, func(t *testing.T) { wantError(t, r.query(1, c.frame), 5, c.code) })
	}
	wantNoTrouble(t, r.Service)
}

// A query that no gateway sends is refused as a whole and counted.
func TestHostileQuery(t *testing.T) {
	r := newRig(t, nil)
	frame := protocol.Sync{}.AppendFrame(nil, 5)
	n := uint64(0)
	for name, q := range map[string]hop.Query{
		"nobody":                {Identity: hop.Identity{Gateway: 9, Conn: 1, Device: 1}, Frame: frame},
		"no device":             {Identity: hop.Identity{Gateway: 9, Conn: 1, User: 1}, Frame: frame},
		"no frame":              {Identity: identity(1, 1)},
		"half a frame":          {Identity: identity(1, 1), Frame: frame[:len(frame)-1]},
		"two frames":            {Identity: identity(1, 1), Frame: append(slices.Clone(frame), frame...)},
		"a length over limits":  {Identity: identity(1, 1), Frame: append([]byte{0xff}, frame[1:]...)},
		"a length below limits": {Identity: identity(1, 1), Frame: []byte{0, 0, 0, 1, 2}},
	} {
		if b, err := r.Query(t.Context(), &q); err == nil || b != nil {
			t.Errorf("%s: answered with %x", name, b)
		}
		n++
		wantStat(t, r.Service, "hostile.frame", n)
	}
	for _, id := range []hop.Identity{{Gateway: 9, Conn: 1, Device: 1}, {Gateway: 9, Conn: 1, User: 1}} {
		b, err := r.Redeliver(t.Context(), &hop.Redelivery{Identity: id, Range: protocol.Range{Target: to(2), First: 1, Last: 9}})
		if err == nil || b != nil {
			t.Errorf("a redelivery to %+v: %x", id, b)
		}
		n++
		wantStat(t, r.Service, "hostile.frame", n)
	}
}

// Whatever a third user asks for, nothing of a conversation of two others comes.
func TestIsolation(t *testing.T) {
	r := newRig(t, nil)
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
	if _, states := r.sync(3, 1, protocol.Sync{}); len(states) != 0 {
		t.Errorf("user 3 syncs %+v", states)
	}
	r.forward(read(3, 1, 1, 5, 0), read(3, 1, 2, 5, 0), pushAck(3, 1, 2, 5, 0))
	r.wantReceipts() // user 3 has nothing to read
	if n := len(r.pushed()); n != 5 {
		t.Errorf("%d messages handed onward, want 5", n)
	}
}

// redeliver gives the seqs that are pushed again.
func (r *rig) redeliver(user, device, peer, first, last uint64) (got []uint64) {
	r.t.Helper()
	pushes, err := r.Redeliver(r.t.Context(), &hop.Redelivery{
		Identity: identity(user, device), Range: protocol.Range{Target: to(peer), First: first, Last: last},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	if len(pushes) > protocol.MaxFrame {
		r.t.Fatalf("%d bytes are pushed again, over the limit", len(pushes))
	}
	for len(pushes) > 0 {
		f, n, err := protocol.Split(pushes, protocol.MaxFrame)
		var m protocol.Message
		if err != nil || n == 0 || f.Type != protocol.TypePush || f.Request != 0 || m.Decode(f.Payload) != nil {
			r.t.Fatalf("frame %#x (%v), want a PUSH", f.Type, err)
		}
		got, pushes = append(got, m.Seq), pushes[n:]
	}
	return got
}

func TestRedeliver(t *testing.T) {
	r := newRig(t, nil)
	r.forward(send(1, 1, 2, 1, "one"), send(2, 1, 1, 1, "two"), send(2, 2, 1, 1, "three"), send(1, 1, 2, 2, "four"))
	for _, c := range []struct {
		user, device, peer, first, last uint64
		want                            []uint64
	}{
		{2, 1, 1, 1, 4, []uint64{1, 3, 4}}, // 2 is its own
		{2, 2, 1, 2, 3, []uint64{2}},
		{1, 1, 2, 1, 4, []uint64{2, 3}},
		{1, 9, 2, 0, 2, []uint64{1, 2}},
		{1, 9, 2, 4, 99, []uint64{4}},
		{1, 9, 2, 5, 99, nil},
		{1, 9, 2, 3, 2, nil},
		{1, 9, 2, 0, 0, nil},
		{1, 9, 0, 1, 4, nil}, // with nobody
	} {
		if got := r.redeliver(c.user, c.device, c.peer, c.first, c.last); !slices.Equal(got, c.want) {
			t.Errorf("user %d, device %d, %d to %d: %v, want %v", c.user, c.device, c.first, c.last, got, c.want)
		}
	}
	r.fill(1, 2, 10, 13, strings.Repeat("x", 30<<10))
	if got := r.redeliver(2, 1, 1, 5, 8); !slices.Equal(got, []uint64{5, 6}) {
		t.Errorf("of four large messages %v are pushed again, want as many as fit", got)
	}
	// Small ones fit into a page, but their frames are longer than its items.
	body := strings.Repeat("x", protocol.MaxFrame/200-len(protocol.Message{}.AppendPayload(nil))-4)
	r.fill(1, 9, 1, 200, body)
	if got := r.redeliver(9, 1, 1, 1, 200); len(got) < 190 || len(got) == 200 || !slices.Equal(got, seqs(1, uint64(len(got)))) {
		t.Errorf("of 200 messages that fill a page %d are pushed again", len(got))
	}
	r.fill(1, 2, 14, 14, strings.Repeat("x", protocol.MaxBody))
	if got := r.redeliver(2, 1, 1, 9, 9); !slices.Equal(got, []uint64{9}) {
		t.Errorf("of the largest message %v is pushed again", got)
	}
	wantNoTrouble(t, r.Service)
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	again := &hop.Redelivery{Identity: identity(2, 1), Range: protocol.Range{Target: to(1), First: 1, Last: 4}}
	if b, err := r.Redeliver(t.Context(), again); err == nil || len(b) != 0 {
		t.Errorf("without a store: %x", b)
	}
	wantStat(t, r.Service, "failed.read", 1)
}
