package embedded

import (
	"context"
	"testing"

	"gannet/logic"
	"gannet/protocol"
)

// entries builds a batch.
type entries struct{ logic.Batch }

func to(user uint64) protocol.Target { return protocol.Target{Kind: protocol.KindDirect, ID: user} }

func direct(a, b uint64) protocol.Conversation { return to(b).Conversation(a) }

func (b *entries) send(user, device, peer, id uint64) *entries {
	start := len(b.Record)
	m := protocol.Message{Target: to(peer), Sender: user, Device: device, ClientID: id, Content: protocol.ContentText, Body: []byte("hello")}
	b.Record = m.AppendFrame(b.Record)
	b.Entries = append(b.Entries, logic.Entry{
		Op: logic.OpMessage, Conversation: m.Conversation(), User: user, Device: device, ClientID: id,
		Start: start, End: len(b.Record),
	})
	return b
}

func (b *entries) cursor(user, device, peer, delivered, read uint64) *entries {
	start := len(b.Record)
	r := protocol.Receipt{Target: to(peer), User: user, Device: device}
	b.Record = r.AppendFrame(b.Record)
	b.Entries = append(b.Entries, logic.Entry{
		Op: logic.OpCursor, Conversation: r.Conversation(), User: user, Device: device, Delivered: delivered, Read: read,
		Start: start, End: len(b.Record),
	})
	return b
}

// appendTo hands the batch to the lane of its first entry.
func (b *entries) appendTo(s *Store) error {
	return s.Append(context.Background(), b.Entries[0].Conversation.Partition()%len(s.lanes), &b.Batch)
}

func mustOpen(t *testing.T, opts Options) *Store {
	t.Helper()
	s, err := Open("data", opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// mustSend appends one message alone and gives its result.
func mustSend(t *testing.T, s *Store, user, device, peer, id uint64) logic.Entry {
	t.Helper()
	b := new(entries).send(user, device, peer, id)
	if err := b.appendTo(s); err != nil {
		t.Fatal(err)
	}
	return b.Entries[0]
}
