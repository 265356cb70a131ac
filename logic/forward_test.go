package logic_test

import (
	"bytes"
	"testing"
	"time"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/protocol"
)

func TestSend(t *testing.T) {
	r := newRig(t, nil)
	start := uint64(r.clock.UnixMilli())
	answers := r.forward(send(1, 7, 2, 10, "hello"), send(2, 8, 1, 3, "hi"))
	if len(answers) != 2 || answers[0].of != 0 || answers[1].of != 1 {
		t.Fatalf("answers %+v, want one for each", answers)
	}
	wantAck(t, answers[0].frame, 10, 1, start)
	wantAck(t, answers[1].frame, 3, 2, start)

	want := protocol.Message{Target: to(2), Seq: 1, Time: start, Sender: 1, Device: 7, ClientID: 10, Content: protocol.ContentText, Body: []byte("hello")}
	pushed := r.pushed()
	if len(pushed) != 2 || !bytes.Equal(pushed[0].AppendPayload(nil), want.AppendPayload(nil)) || pushed[1].Seq != 2 || string(pushed[1].Body) != "hi" {
		t.Fatalf("handed onward %+v, want %+v and its answer", pushed, want)
	}

	r.later(time.Minute)
	answers = r.forward(send(1, 7, 2, 10, "hello"), send(1, 7, 2, 11, "again"))
	wantAck(t, answers[0].frame, 10, 1, start) // a retry gets the answer of the first try
	wantAck(t, answers[1].frame, 11, 3, start+60_000)
	if n := len(r.pushed()); n != 3 {
		t.Fatalf("%d messages handed onward, want 3: a retry is not pushed", n)
	}
	wantNoTrouble(t, r.Service)
}

// Frames of a batch are carried out in their order, whatever they are mixed with.
func TestOrderOfABatch(t *testing.T) {
	r := newRig(t, nil)
	var frames []asked
	for id := uint64(1); id <= 50; id++ {
		frames = append(frames, send(1, 1, 2, id, "a"), pushAck(2, 1, 1, id, 0), send(1, 1, 3, id, "b"), send(2, 1, 1, id, "c"))
	}
	answers := r.forward(frames...)
	if len(answers) != 150 {
		t.Fatalf("%d answers, want one for each SEND", len(answers))
	}
	at := 0
	for i := range frames {
		if i%4 == 1 {
			continue
		}
		id := uint64(i/4 + 1)
		seq := map[int]uint64{0: 2*id - 1, 2: id, 3: 2 * id}[i%4]
		if answers[at].of != i {
			t.Fatalf("answer %d is for frame %d, want %d", at, answers[at].of, i)
		}
		wantAck(t, answers[at].frame, id, seq, uint64(r.clock.UnixMilli()))
		at++
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
		"a message to some of everyone":   {sending(func(m *protocol.Send) { m.Target = protocol.Target{Kind: protocol.KindBroadcast, ID: 3} }), protocol.CodeBadTarget},
		"an unknown kind of target":       {sending(func(m *protocol.Send) { m.Target.Kind = 200 }), protocol.CodeBadTarget},
		"no kind of target":               {sending(func(m *protocol.Send) { m.Target.Kind = 0 }), protocol.CodeBadTarget},
		"a PUSHACK of system messages":    {elsewhere.AppendPushAck(nil, 5), protocol.CodeBadTarget},
		"a READ of system messages":       {elsewhere.AppendRead(nil, 5), protocol.CodeBadTarget},
		"a READ with nobody":              {protocol.Cursor{Target: to(0), Seq: 1}.AppendRead(nil, 5), protocol.CodeBadTarget},
		"no client id":                    {sending(func(m *protocol.Send) { m.ClientID = 0 }), protocol.CodeBadClientID},
		"no content":                      {sending(func(m *protocol.Send) { m.Content = 0 }), protocol.CodeBadContent},
		"a system message":                {sending(func(m *protocol.Send) { m.Content = protocol.ContentSystem }), protocol.CodeBadContent},
		"an unknown content":              {sending(func(m *protocol.Send) { m.Content = 7 }), protocol.CodeBadContent},
		"a body over the limit":           {sending(func(m *protocol.Send) { m.Body = make([]byte, protocol.MaxBody+1) }), protocol.CodeBodyTooLarge},
		"a frame that is not for a write": {protocol.AppendEmpty(nil, protocol.TypePong, 5), protocol.CodeUnknownType},
		"a query":                         {protocol.Sync{}.AppendFrame(nil, 5), protocol.CodeUnknownType},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			answers := r.forward(send(1, 1, 2, 1, "before"), asked{1, 1, c.frame}, send(1, 1, 2, 2, "after"))
			if len(answers) != 3 {
				t.Fatalf("%d answers, want 3", len(answers))
			}
			now := uint64(r.clock.UnixMilli())
			wantAck(t, answers[0].frame, 1, 1, now)
			wantError(t, answers[1].frame, 5, c.code)
			wantAck(t, answers[2].frame, 2, 2, now)
			if n := len(r.pushed()); n != 2 {
				t.Fatalf("%d messages handed onward, want 2", n)
			}
			wantNoTrouble(t, r.Service) // a client did this, no neighbour
		})
	}
}

func TestLargestMessages(t *testing.T) {
	r := newRig(t, nil)
	body := bytes.Repeat([]byte("x"), protocol.MaxBody)
	for content := protocol.ContentText; content <= protocol.ContentCustom; content++ {
		m := protocol.Send{Target: to(2), ClientID: uint64(content), Content: content, Body: body}
		answers := r.forward(asked{1, 1, m.AppendFrame(nil, uint32(content))})
		wantAck(t, answers[0].frame, uint64(content), uint64(content), uint64(r.clock.UnixMilli()))
	}
	for _, m := range r.pushed() {
		if !bytes.Equal(m.Body, body) || uint64(m.Content) != m.Seq {
			t.Errorf("message %d has content %d and %d bytes", m.Seq, m.Content, len(m.Body))
		}
	}
}

func TestCursorsAreAnsweredWhenAsked(t *testing.T) {
	r := newRig(t, nil)
	r.forward(send(1, 1, 2, 1, "hello"))
	bad := protocol.Cursor{Target: to(0), Seq: 1}
	answers := r.forward(
		pushAck(2, 1, 1, 1, 0),
		pushAck(2, 2, 1, 1, 6),
		read(2, 1, 1, 1, 0),
		read(2, 2, 1, 1, 7),
		asked{2, 1, bad.AppendRead(nil, 0)})
	if len(answers) != 3 || answers[0].of != 1 || answers[1].of != 3 || answers[2].of != 4 {
		t.Fatalf("answers %+v, want those that were asked for and the failure", answers)
	}
	for i, request := range []uint32{6, 7} {
		if f := answers[i].frame; f.Type != protocol.TypeDone || f.Request != request || len(f.Payload) != 0 {
			t.Fatalf("answer %d is %+v, want DONE for %d", i, f, request)
		}
	}
	wantError(t, answers[2].frame, 0, protocol.CodeBadTarget)
}

// What the log refuses is refused with the log's code, its time to wait and, where one
// code stands for several limits, the name of the limit; and it is counted.
func TestLogRefuses(t *testing.T) {
	for code, want := range map[protocol.Code]struct {
		after time.Duration
		stat  string
	}{
		protocol.CodeStaleClientID:  {0, "refused.stale_client_id"},
		protocol.CodeTooManyDevices: {0, "refused.too_many_devices"},
		protocol.CodeBusy:           {100 * time.Millisecond, "refused.busy"},
		protocol.CodeRateLimited:    {1501 * time.Millisecond, "refused.rate_limited"},
		protocol.CodeStorageFull:    {time.Second, "refused.other"},
	} {
		r := newRig(t, func(c *logic.Config) {
			c.Log = logFunc(func(batches []*logic.Batch) error {
				for i := range batches[0].Entries {
					e := &batches[0].Entries[i]
					e.Outcome, e.Code, e.RetryAfter = logic.Refused, code, want.after
				}
				return nil
			})
		})
		answers := r.forward(send(1, 1, 2, 1, "hello"), pushAck(1, 1, 2, 1, 0))
		if len(answers) != 2 {
			t.Fatalf("%v: %d answers, want that a PUSHACK which failed has one", code, len(answers))
		}
		for i, request := range []uint32{1, 0} {
			wantError(t, answers[i].frame, request, code)
			var f protocol.Failure
			if err := f.Decode(answers[i].frame.Payload); err != nil || time.Duration(f.RetryAfter)*time.Millisecond != want.after {
				t.Errorf("%v: %+v, %v; want it after %v", code, f, err, want.after)
			}
			if limit := string(f.Text) == "over the limit of conversations begun per second of this user"; limit != (code == protocol.CodeRateLimited) {
				t.Errorf("%v says %q", code, f.Text)
			}
		}
		for name, n := range r.Stats() {
			if name == want.stat && n != 2 || name != want.stat && n != 0 {
				t.Errorf("%v: %s is %d", code, name, n)
			}
		}
	}
}

// What the log has no room for is refused with the time to wait that the log says, in
// milliseconds and within bounds.
func TestRefusedForAWhile(t *testing.T) {
	for wait, want := range map[time.Duration]uint32{0: 0, 1500 * time.Millisecond: 1500, time.Hour: 60_000, -time.Second: 0} {
		r := newRig(t, func(c *logic.Config) {
			c.Log = logFunc(func(batches []*logic.Batch) error {
				batches[0].Entries[0].Outcome, batches[0].Entries[0].Code, batches[0].Entries[0].RetryAfter = logic.Refused, protocol.CodeStorageFull, wait
				return nil
			})
		})
		answers := r.forward(send(1, 1, 2, 1, "hello"))
		wantError(t, answers[0].frame, 1, protocol.CodeStorageFull)
		var failure protocol.Failure
		if err := failure.Decode(answers[0].frame.Payload); err != nil || failure.RetryAfter != want {
			t.Errorf("a wait of %v is told as %d ms, %v", wait, failure.RetryAfter, err)
		}
		wantNoTrouble(t, r.Service)
	}
}

func TestNothingAtAll(t *testing.T) {
	r := newRig(t, nil)
	if answers := r.forward(); len(answers) != 0 {
		t.Errorf("an empty batch is answered with %+v", answers)
	}
}

func TestStoreUnavailable(t *testing.T) {
	r := newRig(t, nil)
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	answers := r.forward(send(1, 1, 2, 4, "hello"), pushAck(1, 1, 2, 1, 0), read(1, 1, 2, 1, 8), send(1, 1, 0, 5, "to nobody"))
	if len(answers) != 4 {
		t.Fatalf("%d answers, want 4: each request waits for an answer or failed", len(answers))
	}
	for i, want := range []struct {
		request uint32
		code    protocol.Code
	}{{4, protocol.CodeUnavailable}, {0, protocol.CodeUnavailable}, {8, protocol.CodeUnavailable}, {5, protocol.CodeBadTarget}} {
		wantError(t, answers[i].frame, want.request, want.code)
	}
	wantStat(t, r.Service, "failed.log", 1)
	wantError(t, r.query(1, protocol.History{Target: to(2)}.AppendFrame(nil, 9)), 9, protocol.CodeUnavailable)
	wantError(t, r.query(1, protocol.Sync{}.AppendFrame(nil, 10)), 10, protocol.CodeUnavailable)
	wantStat(t, r.Service, "failed.read", 2)
}

// What a gateway appends to an answer must not reach the next.
func TestAnswersAreApart(t *testing.T) {
	r := newRig(t, nil)
	answers, err := r.Forward(t.Context(), batch(send(1, 1, 2, 1, "hello"), send(1, 1, 2, 2, "hello")))
	if err != nil {
		t.Fatal(err)
	}
	_ = append(answers.Bytes(0), make([]byte, 64)...)
	wantAck(t, one(t, answers.Bytes(1)), 2, 2, uint64(r.clock.UnixMilli()))
}

// A gateway may send whatever it likes: what is no batch is refused as a whole, what
// is no frame alone, and all of it is counted.
func TestHostileGateway(t *testing.T) {
	good := func() *hop.Forward { return batch(send(1, 1, 2, 1, "hello"), send(1, 1, 2, 2, "hello")) }
	t.Run("batches", func(t *testing.T) {
		r := newRig(t, nil)
		n := uint64(0)
		for name, change := range map[string]func(*hop.Forward){
			"a list too short":      func(b *hop.Forward) { b.Users = b.Users[:1] },
			"no connections":        func(b *hop.Forward) { b.Conns = nil },
			"a device too many":     func(b *hop.Forward) { b.Devices = append(b.Devices, 1) },
			"an end too many":       func(b *hop.Forward) { b.Ends = append(b.Ends, b.Ends[1]) },
			"ends that fall":        func(b *hop.Forward) { b.Ends[0], b.Ends[1] = b.Ends[1], b.Ends[0] },
			"ends beyond the bytes": func(b *hop.Forward) { b.Ends[1]++ },
			"bytes behind the last": func(b *hop.Forward) { b.Frames = append(b.Frames, 0) },
			"a queue too high":      func(b *hop.Forward) { b.Queue = 1 },
			"a queue below 0":       func(b *hop.Forward) { b.Queue = -1 },
		} {
			b := good()
			change(b)
			answers, err := r.Forward(t.Context(), b)
			if err == nil || answers.Len() != 0 {
				t.Errorf("%s: answered with %+v, %v", name, answers, err)
			}
			n++
			wantStat(t, r.Service, "hostile.batch", n)
		}
		wantAck(t, forward(t, r.Service, good())[1].frame, 2, 2, uint64(r.clock.UnixMilli()))
	})
	for name, c := range map[string]struct {
		change  func(*hop.Forward)
		request uint32
	}{
		"user 0":       {func(b *hop.Forward) { b.Users[1] = 0 }, 7},
		"device 0":     {func(b *hop.Forward) { b.Devices[1] = 0 }, 7},
		"half a frame": {func(b *hop.Forward) { b.Ends[1]--; b.Ends[0]-- }, 0},
		"no bytes":     {func(b *hop.Forward) { b.Ends[1] = b.Ends[0] }, 0},
		"two frames": {func(b *hop.Forward) {
			b.Ends[1] = b.Ends[2]
			b.Ends, b.Conns, b.Users, b.Devices = b.Ends[:2], b.Conns[:2], b.Users[:2], b.Devices[:2]
		}, 7},
		"a length over the limit": {func(b *hop.Forward) { b.Frames[b.Ends[0]] = 0xff }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			b := batch(send(1, 1, 2, 1, "hello"), send(1, 1, 2, 7, "x"), send(1, 1, 2, 8, "x"))
			c.change(b)
			answers := forward(t, r.Service, b)
			if len(answers) < 2 || answers[1].of != 1 {
				t.Fatalf("answers %+v", answers)
			}
			wantError(t, answers[1].frame, c.request, protocol.CodeUnavailable)
			if r.Stats()["hostile.frame"] == 0 {
				t.Error("it is not counted")
			}
			again := r.forward(send(1, 1, 2, 9, "hello"))
			if again[0].frame.Type != protocol.TypeSendAck {
				t.Errorf("the next message is answered with %#x", again[0].frame.Type)
			}
		})
	}
}

// A frame that belongs to another queue is refused: under two owners a seq could be
// given out twice.
func TestFrameOfAnotherQueue(t *testing.T) {
	r := newRig(t, func(c *logic.Config) { c.Queues = 2 })
	var peers [2]uint64 // of user 1, by queue
	for peer := uint64(2); peers[0] == 0 || peers[1] == 0; peer++ {
		peers[to(peer).Conversation(1).Partition()%2] = peer
	}
	answers := r.forward(send(1, 1, peers[0], 1, "here"), send(1, 1, peers[1], 2, "there"), pushAck(1, 1, peers[1], 1, 0), read(1, 1, peers[1], 1, 4))
	if len(answers) != 4 {
		t.Fatalf("answers %+v", answers)
	}
	wantAck(t, answers[0].frame, 1, 1, uint64(r.clock.UnixMilli()))
	wantError(t, answers[1].frame, 2, protocol.CodeUnavailable)
	wantError(t, answers[2].frame, 0, protocol.CodeUnavailable)
	wantError(t, answers[3].frame, 4, protocol.CodeUnavailable)
	wantStat(t, r.Service, "hostile.frame", 3)
	if pushed := r.pushed(); len(pushed) != 1 {
		t.Errorf("handed onward: %+v", pushed)
	}
}
