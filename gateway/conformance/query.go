package conformance

import (
	"strings"

	"gannet/internal/hop"
	"gannet/protocol"
)

// query gives the one frame that answers another.
func (w *world) query(from, device uint64, frame []byte) (f protocol.Frame, raw []byte) {
	w.t.Helper()
	raw, err := w.Logic.Query(w.t.Context(), &hop.Query{Identity: hop.Identity{Gateway: epoch, Conn: 1, User: from, Device: device}, Frame: frame})
	if err != nil {
		w.t.Fatalf("query: %v", err)
	}
	f, n, err := protocol.Split(raw, protocol.MaxFrame)
	if err != nil || n != len(raw) || n == 0 {
		w.t.Fatalf("a query is answered with %d bytes, of which %d are a frame: %v", len(raw), n, err)
	}
	return f, raw
}

// page gives the messages of a page of HISTORY that user 1 asks for.
func (w *world) page(frame []byte) (list []protocol.Message) {
	w.t.Helper()
	f, _ := w.query(1, 1, frame)
	var m protocol.Messages
	if f.Type != protocol.TypeMessages || m.Decode(f.Payload) != nil {
		w.t.Fatalf("a page of HISTORY is %#x", f.Type)
	}
	for item := range m.All() {
		list = append(list, item)
	}
	return list
}

func pages(w *world) {
	w.forward(w.batch(1, 1, 2, 1, 2, 3))
	w.forward(w.batch(1, 1, 3, 4))
	f, _ := w.query(2, 1, protocol.Sync{}.AppendFrame(nil, 1<<31|5))
	var synced protocol.Synced
	if f.Type != protocol.TypeSynced || f.Request != 1<<31|5 || synced.Decode(f.Payload) != nil || synced.Count != 1 || synced.More {
		w.t.Fatalf("SYNC is answered with %#x to %d, %+v", f.Type, f.Request, synced)
	}
	for s := range synced.States() {
		if s.Target != user(1) || s.Head != 3 || s.Unread != 3 {
			w.t.Fatalf("the conversation is %+v", s)
		}
	}
	list := w.page(protocol.History{Target: user(2), Direction: protocol.Backward, Limit: 2}.AppendFrame(nil, 6))
	if len(list) != 2 || list[0].Seq != 2 || list[1].Seq != 3 || string(list[1].Body) != "body of 3" {
		w.t.Fatalf("the page is %+v", list)
	}
}

func foreignQueries(w *world) {
	for request, c := range map[uint32]struct {
		frame []byte
		code  protocol.Code
	}{
		11: {protocol.AppendEmpty(nil, protocol.TypePing, 11), protocol.CodeUnknownType},
		12: {protocol.AppendEmpty(nil, protocol.TypeHistory, 12), protocol.CodeBadPayload},
		13: {protocol.History{Target: user(2), Direction: 9}.AppendFrame(nil, 13), protocol.CodeBadRequest},
	} {
		if _, raw := w.query(1, 1, c.frame); w.refused(raw, request) != c.code {
			w.t.Errorf("request %d is answered with %v, want %v", request, w.refused(raw, request), c.code)
		}
	}
	for name, frame := range map[string][]byte{"nothing": nil, "half a frame": protocol.Sync{}.AppendFrame(nil, 1)[:9], "a frame and more": append(protocol.Sync{}.AppendFrame(nil, 1), 0)} {
		if b, err := w.Logic.Query(w.t.Context(), &hop.Query{Identity: hop.Identity{User: 1, Device: 1}, Frame: frame}); err == nil {
			w.t.Errorf("%s: answered with %x", name, b)
		}
	}
}

func pushesAgain(w *world) {
	const n, size = 12, 30_000
	b := w.batch(1, 1, 2)
	for id := uint64(1); id <= n; id++ {
		b.Add(1, 1, 1, send(2, id, strings.Repeat("x", size)))
	}
	w.forward(b)
	again := func(first, last uint64) (seqs []uint64) {
		raw, err := w.Logic.Redeliver(w.t.Context(), &hop.Redelivery{
			Identity: hop.Identity{Gateway: epoch, Conn: 9, User: 2, Device: 1}, Range: protocol.Range{Target: user(1), First: first, Last: last},
		})
		if err != nil || len(raw) > 4+protocol.MaxFrame {
			w.t.Fatalf("%d bytes, %v", len(raw), err)
		}
		for len(raw) > 0 {
			f, size, err := protocol.Split(raw, protocol.MaxFrame)
			var m protocol.Message
			if err != nil || size == 0 || f.Type != protocol.TypePush || f.Request != 0 || m.Decode(f.Payload) != nil || m.Sender != 1 {
				w.t.Fatalf("among the pushes is %#x, %v", f.Type, err)
			}
			seqs = append(seqs, m.Seq)
			raw = raw[size:]
		}
		return seqs
	}
	for next := uint64(3); next <= n; {
		seqs := again(next, n)
		if len(seqs) == 0 || next == 3 && len(seqs) == n-2 {
			w.t.Fatalf("from %d on come %v", next, seqs)
		}
		for _, seq := range seqs {
			if seq != next {
				w.t.Fatalf("seq %d came where %d should be", seq, next)
			}
			next++
		}
	}
	if seqs := again(2, 3); len(seqs) != 2 {
		w.t.Errorf("of 2 to 3 come %v", seqs)
	}
	if seqs := again(n+1, n+5); len(seqs) != 0 {
		w.t.Errorf("of messages that do not exist come %v", seqs)
	}
}
