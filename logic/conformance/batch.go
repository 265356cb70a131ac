package conformance

import (
	"context"
	"time"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/protocol"
)

// batch builds a logic.Batch.
type batch struct{ logic.Batch }

// message adds a message.
func (b *batch) message(m protocol.Message, silent bool) *batch {
	m.Content = protocol.ContentText
	start := len(b.Blob)
	b.Blob = m.AppendFrame(b.Blob)
	b.Entries = append(b.Entries, logic.Entry{
		Op: hop.OpMessage, Silent: silent, Conversation: m.Conversation(), User: m.Sender, Device: m.Device, ClientID: m.ClientID,
		Frame: hop.Span{Start: uint32(start), End: uint32(len(b.Blob))},
	})
	return b
}

// send adds a message of a user's device to another user.
func (b *batch) send(user, device, peer, id uint64, body string) *batch {
	return b.message(protocol.Message{Target: to(peer), Sender: user, Device: device, ClientID: id, Body: []byte(body)}, false)
}

// silent adds a message that does not count as unread.
func (b *batch) silent(user, device, peer, id uint64) *batch {
	return b.message(protocol.Message{Target: to(peer), Sender: user, Device: device, ClientID: id, Body: []byte("silent")}, true)
}

// announce adds a message of the server to a user.
func (b *batch) announce(user, id uint64) *batch {
	target := protocol.Target{Kind: protocol.KindSystem, ID: user}
	return b.message(protocol.Message{Target: target, ClientID: id, Body: []byte("news")}, false)
}

// ack adds that a device has everything up to seq.
func (b *batch) ack(user, device, peer, seq uint64) *batch {
	return b.cursor(hop.OpAck, user, device, direct(user, peer), seq)
}

// read adds that a user has read up to seq.
func (b *batch) read(user, device, peer, seq uint64) *batch {
	return b.cursor(hop.OpRead, user, device, direct(user, peer), seq)
}

func (b *batch) cursor(op hop.Op, user, device uint64, c protocol.Conversation, seq uint64) *batch {
	b.Entries = append(b.Entries, logic.Entry{Op: op, Conversation: c, User: user, Device: device, Seq: seq})
	return b
}

// try hands the batch to the queue of its first entry and gives what went wrong.
func (w *world) try(ctx context.Context, b *batch) error {
	b.Queue = w.queue(b.Entries[0].Conversation)
	if err := w.Log.Apply(ctx, []*logic.Batch{&b.Batch}); err != nil {
		return err
	}
	return b.Err
}

// apply hands the batch to the queue of its first entry and gives the results. What is
// busy is asked again, as a client does.
func (w *world) apply(b *batch) []logic.Entry {
	w.t.Helper()
	if err := w.try(w.t.Context(), b); err != nil {
		w.t.Fatalf("Apply: %v", err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		again, places := new(batch), []int(nil)
		for i, e := range b.Entries {
			if e.Outcome == logic.Refused && e.Code == protocol.CodeBusy {
				if e.RetryAfter == 0 {
					w.t.Fatalf("busy without saying for how long: %+v", e)
				}
				again.again(b, e)
				places = append(places, i)
			}
		}
		if len(places) == 0 {
			return b.Entries
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%d entries are busy without end", len(places))
		}
		if err := w.try(w.t.Context(), again); err != nil {
			w.t.Fatalf("Apply: %v", err)
		}
		for i, e := range again.Entries {
			e.Frame = b.Entries[places[i]].Frame
			b.Entries[places[i]] = e
		}
	}
}

// again adds an entry of another batch as it was asked.
func (b *batch) again(of *batch, e logic.Entry) {
	start := uint32(len(b.Blob))
	b.Blob = append(b.Blob, of.Blob[e.Frame.Start:e.Frame.End]...)
	e.Frame = hop.Span{Start: start, End: uint32(len(b.Blob))}
	e.Outcome, e.Code, e.RetryAfter = logic.Unknown, 0, 0
	b.Entries = append(b.Entries, e)
}

// send applies one message alone.
func (w *world) send(user, device, peer, id uint64) logic.Entry {
	w.t.Helper()
	return w.apply(new(batch).send(user, device, peer, id, "hello"))[0]
}

// ack applies one device's ack alone.
func (w *world) ack(user, device, peer, seq uint64) logic.Entry {
	w.t.Helper()
	return w.apply(new(batch).ack(user, device, peer, seq))[0]
}

// read applies one read cursor alone.
func (w *world) read(user, peer, seq uint64) logic.Entry {
	w.t.Helper()
	return w.apply(new(batch).read(user, 1, peer, seq))[0]
}

// fill sends n messages of the device with rising ids from the first on.
func (w *world) fill(user, device, peer, id uint64, n int) {
	w.t.Helper()
	for n > 0 {
		b := new(batch)
		for range min(n, 200) {
			b.send(user, device, peer, id, "hello")
			id++
		}
		for _, e := range w.apply(b) {
			if e.Outcome != logic.Applied {
				w.t.Fatalf("client id %d: outcome %d", e.ClientID, e.Outcome)
			}
		}
		n -= len(b.Entries)
	}
}

// wantNew checks that a message was accepted under the seq.
func (w *world) wantNew(e logic.Entry, seq uint64) {
	w.t.Helper()
	if e.Outcome != logic.Applied || e.Seq != seq {
		w.t.Fatalf("client id %d: outcome %d, seq %d; want it accepted as seq %d", e.ClientID, e.Outcome, e.Seq, seq)
	}
}

// wantRepeated checks that a message was recognised as the first one.
func (w *world) wantRepeated(e, first logic.Entry) {
	w.t.Helper()
	if e.Outcome != logic.Repeated || e.Seq != first.Seq || e.Time != first.Time {
		w.t.Fatalf("client id %d: outcome %d, seq %d, time %d; want repeated, seq %d, time %d",
			e.ClientID, e.Outcome, e.Seq, e.Time, first.Seq, first.Time)
	}
}

// cursors is what an entry that moves cursors comes back with.
type cursors struct {
	outcome              logic.Outcome
	seq, delivered, read uint64
	rose                 bool
}

// wantCursors checks the results of an OpAck or OpRead.
func (w *world) wantCursors(e logic.Entry, want cursors) {
	w.t.Helper()
	if got := (cursors{e.Outcome, e.Seq, e.Delivered, e.Read, e.Rose}); got != want {
		w.t.Fatalf("the cursors came back as %+v, want %+v", got, want)
	}
}
