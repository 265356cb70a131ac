package logic_test

import (
	"bytes"
	"testing"
	"time"

	"gannet/protocol"
)

func TestSend(t *testing.T) {
	r := newRig(t)
	start := uint64(r.clock.UnixMilli())
	request := send(1, 7, 2, 10, "hello")
	replies := r.forward(request, send(2, 8, 1, 3, "hi"))
	clear(request.Frame.Payload) // the gateway reuses it
	if len(replies) != 2 || replies[0].Conn != 107 || replies[1].Conn != 208 {
		t.Fatalf("replies %+v, want one for each connection", replies)
	}
	wantAck(t, only(t, replies[0]), 10, 1, start)
	wantAck(t, only(t, replies[1]), 3, 2, start)

	want := protocol.Message{Target: to(2), Seq: 1, Time: start, Sender: 1, Device: 7, ClientID: 10, Content: protocol.ContentText, Body: []byte("hello")}
	pushed := r.published()
	if len(pushed) != 2 || pushed[0].Type != protocol.TypePush || !bytes.Equal(pushed[0].Payload, want.AppendPayload(nil)) {
		t.Fatalf("published %+v, want the PUSH of %+v first", pushed, want)
	}

	r.clock = r.clock.Add(time.Minute)
	replies = r.forward(send(1, 7, 2, 10, "hello"), send(1, 7, 2, 11, "again"))
	wantAck(t, only(t, replies[0]), 10, 1, start) // a retry gets the answer of the first try
	wantAck(t, only(t, replies[1]), 11, 3, start+60_000)
	if n := len(r.published()); n != 3 {
		t.Fatalf("%d frames published, want 3: a retry is not pushed", n)
	}
}

func TestRefused(t *testing.T) {
	message := protocol.Send{Target: to(2), ClientID: 9, Content: protocol.ContentText, Body: []byte("hello")}
	sending := func(change func(*protocol.Send)) []byte {
		m := message
		change(&m)
		return m.AppendFrame(nil, 5)
	}
	short := func(frame []byte) []byte {
		f, _, _ := protocol.Split(frame, protocol.MaxFrame)
		f.Payload = f.Payload[:len(f.Payload)-1]
		return f.Append(nil)
	}
	cursor := protocol.Cursor{Target: to(2), Seq: 1}
	elsewhere := protocol.Cursor{Target: protocol.Target{Kind: protocol.KindSystem, ID: 1}, Seq: 1}
	for name, c := range map[string]struct {
		frame []byte
		code  protocol.Code
	}{
		"a short SEND":                    {short(message.AppendFrame(nil, 5)), protocol.CodeBadPayload},
		"an empty SEND":                   {protocol.AppendEmpty(nil, protocol.TypeSend, 5), protocol.CodeBadPayload},
		"a short PUSHACK":                 {short(cursor.AppendPushAck(nil, 5)), protocol.CodeBadPayload},
		"a short READ":                    {short(cursor.AppendRead(nil, 5)), protocol.CodeBadPayload},
		"a message to nobody":             {sending(func(m *protocol.Send) { m.Target.ID = 0 }), protocol.CodeBadTarget},
		"a message to a group":            {sending(func(m *protocol.Send) { m.Target.Kind = protocol.KindGroup }), protocol.CodeBadTarget},
		"a message to everyone":           {sending(func(m *protocol.Send) { m.Target = protocol.Target{Kind: protocol.KindBroadcast} }), protocol.CodeBadTarget},
		"an unknown kind of target":       {sending(func(m *protocol.Send) { m.Target.Kind = 200 }), protocol.CodeBadTarget},
		"no kind of target":               {sending(func(m *protocol.Send) { m.Target.Kind = 0 }), protocol.CodeBadTarget},
		"a PUSHACK of system messages":    {elsewhere.AppendPushAck(nil, 5), protocol.CodeBadTarget},
		"a READ of system messages":       {elsewhere.AppendRead(nil, 5), protocol.CodeBadTarget},
		"no client id":                    {sending(func(m *protocol.Send) { m.ClientID = 0 }), protocol.CodeBadClientID},
		"no content":                      {sending(func(m *protocol.Send) { m.Content = 0 }), protocol.CodeBadContent},
		"a system message":                {sending(func(m *protocol.Send) { m.Content = protocol.ContentSystem }), protocol.CodeBadContent},
		"an unknown content":              {sending(func(m *protocol.Send) { m.Content = 7 }), protocol.CodeBadContent},
		"a body over the limit":           {sending(func(m *protocol.Send) { m.Body = make([]byte, protocol.MaxBody+1) }), protocol.CodeBodyTooLarge},
		"a frame that is not for a write": {protocol.AppendEmpty(nil, protocol.TypePong, 5), protocol.CodeUnknownType},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			replies := r.forward(send(1, 1, 2, 1, "before"), from(1, 1, c.frame), send(1, 1, 2, 2, "after"))
			if len(replies) != 3 {
				t.Fatalf("%d replies, want 3", len(replies))
			}
			now := uint64(r.clock.UnixMilli())
			wantAck(t, only(t, replies[0]), 1, 1, now)
			wantError(t, only(t, replies[1]), 5, c.code)
			wantAck(t, only(t, replies[2]), 2, 2, now)
			if n := len(r.published()); n != 2 {
				t.Fatalf("%d frames published, want 2", n)
			}
		})
	}
}

func TestLargestMessages(t *testing.T) {
	r := newRig(t)
	body := string(bytes.Repeat([]byte("x"), protocol.MaxBody))
	for content := protocol.ContentText; content <= protocol.ContentCustom; content++ {
		m := protocol.Send{Target: to(2), ClientID: uint64(content), Content: content, Body: []byte(body)}
		replies := r.forward(from(1, 1, m.AppendFrame(nil, uint32(content))))
		wantAck(t, only(t, replies[0]), uint64(content), uint64(content), uint64(r.clock.UnixMilli()))
	}
}

func TestCursorsAreAnsweredWhenAsked(t *testing.T) {
	r := newRig(t)
	r.forward(send(1, 1, 2, 1, "hello"))
	bad := protocol.Cursor{Target: to(0), Seq: 1}
	replies := r.forward(
		pushAck(2, 1, 1, 1, 0),
		pushAck(2, 2, 1, 1, 6),
		read(2, 1, 1, 1, 0),
		read(2, 2, 1, 1, 7),
		from(2, 1, bad.AppendRead(nil, 0)))
	if len(replies) != 3 {
		t.Fatalf("%d replies, want those that were asked for and the failure", len(replies))
	}
	for i, request := range []uint32{6, 7} {
		if f := only(t, replies[i]); f.Type != protocol.TypeDone || f.Request != request || replies[i].Conn != 202 {
			t.Fatalf("reply %d is %+v, want DONE for %d", i, f, request)
		}
	}
	wantError(t, only(t, replies[2]), 0, protocol.CodeBadTarget)
}

func TestCursorsOfABatchAreOneReceipt(t *testing.T) {
	r := newRig(t)
	for id := uint64(1); id <= 9; id++ {
		r.forward(send(1, 1, 2, id, "hello"))
	}
	r.records = nil
	r.forward(
		pushAck(2, 1, 1, 3, 0), read(2, 1, 1, 2, 0), pushAck(2, 1, 1, 7, 0), pushAck(2, 1, 1, 5, 0),
		pushAck(2, 2, 1, 6, 0), // another device: nothing rises any more
		read(2, 2, 1, 4, 0),    // but this does
		pushAck(2, 1, 3, 1, 0)) // an empty conversation
	want := []protocol.Receipt{
		{Target: to(1), Delivered: 7, Read: 2, User: 2, Device: 1},
		{Target: to(1), Delivered: 7, Read: 4, User: 2, Device: 2},
	}
	frames := r.published()
	if len(frames) != len(want) {
		t.Fatalf("%d frames published, want %d receipts", len(frames), len(want))
	}
	for i, f := range frames {
		var got protocol.Receipt
		if f.Type != protocol.TypeReceipt || got.Decode(f.Payload) != nil || got != want[i] {
			t.Errorf("frame %d is %#x, %+v; want %+v", i, f.Type, got, want[i])
		}
	}
}

func TestReadIsDelivered(t *testing.T) {
	r := newRig(t)
	r.forward(send(1, 1, 2, 1, "hello"))
	r.forward(read(2, 1, 1, 50, 0))
	frames := r.published()
	var got protocol.Receipt
	if err := got.Decode(frames[1].Payload); err != nil || got.Delivered != 1 || got.Read != 1 {
		t.Fatalf("a READ past the head gave %+v (%v), want both cursors at the head", got, err)
	}
}

func TestStaleClientID(t *testing.T) {
	r := newRig(t)
	for id := uint64(1); id <= protocol.MaxUnacked+1; id++ {
		r.forward(send(1, 1, 2, id, "hello"))
	}
	replies := r.forward(send(1, 1, 2, 1, "hello"))
	wantError(t, only(t, replies[0]), 1, protocol.CodeStaleClientID)
}

func TestStoreUnavailable(t *testing.T) {
	r := newRig(t)
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	replies := r.forward(send(1, 1, 2, 4, "hello"), pushAck(1, 1, 2, 1, 0), read(1, 1, 2, 1, 8), send(1, 1, 0, 5, "to nobody"))
	if len(replies) != 4 {
		t.Fatalf("%d replies, want 4: each request waits for an answer or failed", len(replies))
	}
	for i, want := range []struct {
		request uint32
		code    protocol.Code
	}{{4, protocol.CodeUnavailable}, {0, protocol.CodeUnavailable}, {8, protocol.CodeUnavailable}, {5, protocol.CodeBadTarget}} {
		wantError(t, only(t, replies[i]), want.request, want.code)
	}
	history := from(1, 1, protocol.History{Target: to(2)}.AppendFrame(nil, 9))
	wantError(t, r.query(history), 9, protocol.CodeUnavailable)
	wantError(t, r.query(from(1, 1, protocol.Sync{}.AppendFrame(nil, 10))), 10, protocol.CodeUnavailable)
}

// TestRepliesAreApart: what a gateway appends to a reply must not reach the next.
func TestRepliesAreApart(t *testing.T) {
	r := newRig(t)
	replies := r.forward(send(1, 1, 2, 1, "hello"), send(1, 1, 2, 2, "hello"))
	_ = append(replies[0].Bytes, make([]byte, 64)...)
	wantAck(t, only(t, replies[1]), 2, 2, uint64(r.clock.UnixMilli()))
}
