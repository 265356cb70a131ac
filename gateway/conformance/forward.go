package conformance

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"

	"gannet/internal/hop"
	"gannet/protocol"
)

// peer gives a user whose conversation with user 1 is of the queue.
func (w *world) peer(queue int) uint64 {
	for peer := uint64(2); ; peer++ {
		if user(peer).Conversation(1).Partition()%w.Queues == queue {
			return peer
		}
	}
}

// user is the target under which others address a user.
func user(id uint64) protocol.Target { return protocol.Target{Kind: protocol.KindDirect, ID: id} }

// queueOf gives the queue of the conversation of two users.
func (w *world) queueOf(a, b uint64) int { return user(b).Conversation(a).Partition() % w.Queues }

// send encodes a SEND.
func send(to, id uint64, body string) []byte {
	return protocol.Send{Target: user(to), ClientID: id, Content: protocol.ContentText, Body: []byte(body)}.AppendFrame(nil, uint32(id))
}

// batch makes a batch of SENDs of a device to one user.
func (w *world) batch(from, device, to uint64, ids ...uint64) *hop.Forward {
	b := &hop.Forward{Gateway: epoch, Queue: w.queueOf(from, to)}
	for _, id := range ids {
		b.Add(id, from, device, send(to, id, fmt.Sprintf("body of %d", id)))
	}
	return b
}

// forward gives the answers to a batch.
func (w *world) forward(b *hop.Forward) hop.Answers {
	w.t.Helper()
	answers, err := w.Logic.Forward(w.t.Context(), b)
	if err != nil {
		w.t.Fatalf("forward: %v", err)
	}
	if err := answers.Check(b.Len()); err != nil {
		w.t.Fatalf("answers %v to %d frames", answers.Of, b.Len())
	}
	return answers
}

// acked gives the SENDACK that answer i is.
func (w *world) acked(a *hop.Answers, i int, request uint32) (m protocol.SendAck) {
	w.t.Helper()
	f, _, err := protocol.Split(a.Bytes(i), protocol.MaxFrame)
	if err != nil || f.Type != protocol.TypeSendAck || f.Request != request || m.Decode(f.Payload) != nil {
		w.t.Fatalf("answer %d is %#x to request %d, want a SENDACK to %d", i, f.Type, f.Request, request)
	}
	return m
}

// refused gives the code of the ERROR that answer i is.
func (w *world) refused(b []byte, request uint32) protocol.Code {
	w.t.Helper()
	f, n, err := protocol.Split(b, protocol.MaxFrame)
	var m protocol.Failure
	if err != nil || n != len(b) || f.Type != protocol.TypeError || f.Request != request || m.Decode(f.Payload) != nil {
		w.t.Fatalf("an answer is %#x to request %d, want an ERROR to %d", f.Type, f.Request, request)
	}
	return m.Code
}

func batchInOrder(w *world) {
	seq := uint64(0)
	for _, ids := range [][]uint64{{1}, {2, 3, 4}, {}, {5, 6}} {
		a := w.forward(w.batch(1, 1, 2, ids...))
		if a.Len() != len(ids) {
			w.t.Fatalf("%d answers to %d SENDs", a.Len(), len(ids))
		}
		for i, id := range ids {
			seq++
			if m := w.acked(&a, i, uint32(id)); int(a.Of[i]) != i || m.ClientID != id || m.Seq != seq || m.Time == 0 {
				w.t.Fatalf("answer %d is to frame %d: %+v, want seq %d", i, a.Of[i], m, seq)
			}
		}
	}
	large := w.batch(1, 1, 2)
	for id := uint64(7); id < 15; id++ {
		large.Add(1, 1, 1, send(2, id, string(bytes.Repeat([]byte{byte(id)}, protocol.MaxBody))))
	}
	if a := w.forward(large); a.Len() != 8 || w.acked(&a, 7, 14).Seq != seq+8 {
		w.t.Fatalf("%d answers to 8 large messages", a.Len())
	}
}

func whatIsAnswered(w *world) {
	w.forward(w.batch(1, 1, 2, 1, 2, 3))
	b := &hop.Forward{Gateway: epoch, Queue: w.queueOf(1, 2)}
	cursor := func(seq uint64) protocol.Cursor { return protocol.Cursor{Target: user(1), Seq: seq} }
	nowhere := protocol.Cursor{Target: protocol.Target{Kind: protocol.KindDirect}, Seq: 1}
	for _, frame := range [][]byte{
		cursor(1).AppendPushAck(nil, 0),      // 0
		cursor(2).AppendPushAck(nil, 51),     // 1: answered
		cursor(1).AppendRead(nil, 0),         // 2
		send(1, 9, "from the other"),         // 3: answered
		cursor(2).AppendRead(nil, 52),        // 4: answered
		nowhere.AppendRead(nil, 0),           // 5: failed
		nowhere.AppendPushAck(nil, 53),       // 6: failed
		send(0, 10, "to nobody"),             // 7: failed
		send(1, 0, "without a number"),       // 8: failed
		cursor(3).AppendPushAck(nil, 0)[:12], // 9: no frame
	} {
		b.Add(7, 2, 1, frame)
	}
	a := w.forward(b)
	if !slices.Equal(a.Of, []uint32{1, 3, 4, 5, 6, 7, 8, 9}) {
		w.t.Fatalf("answered are %v", a.Of)
	}
	for i, want := range map[int]uint32{0: 51, 2: 52} {
		if f, _, err := protocol.Split(a.Bytes(i), protocol.MaxFrame); err != nil || f.Type != protocol.TypeDone || f.Request != want {
			w.t.Errorf("answer %d is %#x to %d, want DONE to %d", i, f.Type, f.Request, want)
		}
	}
	if m := w.acked(&a, 1, 9); m.Seq != 4 {
		w.t.Errorf("amid the others a message got seq %d", m.Seq)
	}
	for i, c := range map[int]struct {
		request uint32
		code    protocol.Code
	}{3: {0, protocol.CodeBadTarget}, 4: {53, protocol.CodeBadTarget}, 5: {10, protocol.CodeBadTarget}, 6: {0, protocol.CodeBadClientID}} {
		if code := w.refused(a.Bytes(i), c.request); code != c.code {
			w.t.Errorf("answer %d is %v, want %v", i, code, c.code)
		}
	}
}

func batchIsLent(w *world) {
	const n = 100
	b := w.batch(1, 1, 2)
	for id := uint64(1); id <= n; id++ {
		b.Add(1, 1, 1, send(2, id, strings.Repeat("x", 2000)))
	}
	a := w.forward(b)
	was := bytes.Clone(a.Frames)
	clear(b.Frames[:cap(b.Frames)])
	clear(b.Conns)
	clear(b.Ends)
	for id := uint64(n + 1); id <= n+20; id++ {
		w.forward(w.batch(1, 1, 2, id))
		for _, m := range w.page(protocol.History{Target: user(2)}.AppendFrame(nil, 1)) {
			if m.ClientID != m.Seq || m.Seq <= n && string(m.Body) != strings.Repeat("x", 2000) {
				w.t.Fatalf("message %d is %+v", m.Seq, m)
			}
		}
	}
	if !bytes.Equal(a.Frames, was) {
		w.t.Error("answers were written over")
	}
}

func batchAgain(w *world) {
	first := w.forward(w.batch(1, 1, 2, 1, 2, 3))
	second := w.forward(w.batch(1, 1, 2, 1, 2, 3, 4))
	for i := range 3 {
		if !bytes.Equal(first.Bytes(i), second.Bytes(i)) {
			w.t.Errorf("answer %d is %x the first time, %x the second", i, first.Bytes(i), second.Bytes(i))
		}
	}
	if m := w.acked(&second, 3, 4); m.Seq != 4 {
		w.t.Errorf("a new message got seq %d", m.Seq)
	}
}

func batchesAtOnce(w *world) {
	var all sync.WaitGroup
	for queue := range w.Queues {
		peer := w.peer(queue)
		all.Go(func() {
			for id := uint64(1); id <= 20; id++ {
				a, err := w.Logic.Forward(w.t.Context(), w.batch(1, 1, peer, 2*id-1, 2*id))
				if err != nil || a.Check(2) != nil || a.Len() != 2 {
					w.t.Errorf("queue %d: %d answers, %v", queue, a.Len(), err)
					return
				}
			}
		})
	}
	all.Wait()
	for queue := range w.Queues {
		a := w.forward(w.batch(1, 1, w.peer(queue), 41))
		if m := w.acked(&a, 0, 41); m.Seq != 41 {
			w.t.Errorf("queue %d: the last message has seq %d", queue, m.Seq)
		}
	}
}

func foreignBatches(w *world) {
	for name, change := range map[string]func(*hop.Forward){
		"users that are missing":  func(b *hop.Forward) { b.Users = b.Users[:1] },
		"bounds behind the bytes": func(b *hop.Forward) { b.Ends[1]++ },
		"a queue below 0":         func(b *hop.Forward) { b.Queue = -1 },
		"a queue too many":        func(b *hop.Forward) { b.Queue = w.Queues },
	} {
		b := w.batch(1, 1, 2, 1, 2)
		change(b)
		if a, err := w.Logic.Forward(w.t.Context(), b); err == nil {
			w.t.Errorf("%s: %d answers", name, a.Len())
		}
	}
	b := w.batch(1, 1, 2, 1)
	b.Queue = (b.Queue + 1) % w.Queues // the frame is of another queue
	a := w.forward(b)
	if code := w.refused(a.Bytes(0), 1); code != protocol.CodeUnavailable {
		w.t.Errorf("a frame of another queue: %v", code)
	}
	a = w.forward(w.batch(1, 1, 2, 1))
	if m := w.acked(&a, 0, 1); m.Seq != 1 {
		w.t.Errorf("something of it was done: seq %d", m.Seq)
	}
}
