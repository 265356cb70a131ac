package embedded

import (
	"testing"
	"time"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/protocol"
)

// entries builds a batch.
type entries struct{ logic.Batch }

func to(user uint64) protocol.Target { return protocol.Target{Kind: protocol.KindDirect, ID: user} }

func direct(a, b uint64) protocol.Conversation { return to(b).Conversation(a) }

func (b *entries) send(user, device, peer, id uint64) *entries {
	start := len(b.Blob)
	m := protocol.Message{Target: to(peer), Sender: user, Device: device, ClientID: id, Content: protocol.ContentText, Body: []byte("hello")}
	b.Blob = m.AppendFrame(b.Blob)
	b.Entries = append(b.Entries, logic.Entry{
		Op: hop.OpMessage, Conversation: m.Conversation(), User: user, Device: device, ClientID: id,
		Frame: hop.Span{Start: uint32(start), End: uint32(len(b.Blob))},
	})
	return b
}

func (b *entries) ack(user, device, peer, seq uint64) *entries {
	return b.cursor(hop.OpAck, user, device, peer, seq)
}

func (b *entries) read(user, device, peer, seq uint64) *entries {
	return b.cursor(hop.OpRead, user, device, peer, seq)
}

func (b *entries) cursor(op hop.Op, user, device, peer, seq uint64) *entries {
	b.Entries = append(b.Entries, logic.Entry{Op: op, Conversation: direct(user, peer), User: user, Device: device, Seq: seq})
	return b
}

// applyTo hands the batch to the queue of its first entry.
func (b *entries) applyTo(t *testing.T, s *Store) error {
	b.Queue = s.queueOf(b.Entries[0].Conversation).index
	if err := s.Apply(t.Context(), []*logic.Batch{&b.Batch}); err != nil {
		return err
	}
	return b.Err
}

// applyAll is applyTo for a client that asks again what is busy. The results stand in
// Entries.
func (b *entries) applyAll(t *testing.T, s *Store) error {
	if err := b.applyTo(t, s); err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		again, places := new(entries), []int(nil)
		for i, e := range b.Entries {
			if isBusy(e) {
				again.again(b, e)
				places = append(places, i)
			}
		}
		if len(places) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d entries are busy without end", len(places))
		}
		if err := again.applyTo(t, s); err != nil {
			return err
		}
		for i, e := range again.Entries {
			e.Frame = b.Entries[places[i]].Frame
			b.Entries[places[i]] = e
		}
	}
}

func (b *entries) mustApply(t *testing.T, s *Store) []logic.Entry {
	t.Helper()
	if err := b.applyAll(t, s); err != nil {
		t.Fatal(err)
	}
	return b.Entries
}

func isBusy(e logic.Entry) bool { return e.Outcome == logic.Refused && e.Code == protocol.CodeBusy }

// again adds an entry of another batch as it was asked.
func (b *entries) again(of *entries, e logic.Entry) {
	start := uint32(len(b.Blob))
	b.Blob = append(b.Blob, of.Blob[e.Frame.Start:e.Frame.End]...)
	e.Frame = hop.Span{Start: start, End: uint32(len(b.Blob))}
	e.Outcome, e.Code, e.RetryAfter = logic.Unknown, 0, 0
	b.Entries = append(b.Entries, e)
}

// mustOpen opens a store and closes it when the test ends, which fails if an
// iterator was left open.
func mustOpen(t *testing.T, opts Options) *Store {
	t.Helper()
	s, err := Open("data", opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// trySend applies one message once and gives its result, which may be busy.
func trySend(t *testing.T, s *Store, user, device, peer, id uint64) logic.Entry {
	t.Helper()
	b := new(entries).send(user, device, peer, id)
	if err := b.applyTo(t, s); err != nil {
		t.Fatal(err)
	}
	return b.Entries[0]
}

// mustSend applies one message alone and gives its result.
func mustSend(t *testing.T, s *Store, user, device, peer, id uint64) logic.Entry {
	t.Helper()
	return new(entries).send(user, device, peer, id).mustApply(t, s)[0]
}

// stateOf gives the conversation with peer as the device sees it.
func stateOf(t *testing.T, s *Store, user, device, peer uint64) protocol.State {
	t.Helper()
	for q := (logic.InboxQuery{User: user, Device: device, Limit: protocol.MaxPage, Room: protocol.MaxFrame}); ; {
		page, err := s.Changed(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, state := range page.States {
			if state.Target == to(peer) {
				return state
			}
		}
		if q.After = page.After; !page.More {
			return protocol.State{}
		}
	}
}

// headOf gives the head of a conversation as readers see it.
func headOf(t *testing.T, s *Store, c protocol.Conversation) uint64 {
	t.Helper()
	p := logic.Page{Conversation: c, Limit: 1, Room: 1}
	if err := s.Pages(t.Context(), []*logic.Page{&p}); err != nil || p.Err != nil {
		t.Fatal(err, p.Err)
	}
	return p.Head
}
