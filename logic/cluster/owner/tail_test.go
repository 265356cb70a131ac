package owner

import (
	"reflect"
	"testing"

	"gannet/internal/hop"
	"gannet/logic/ledger"
	"gannet/protocol"
)

var (
	pair  = protocol.Conversation{Kind: protocol.KindDirect, A: 1, B: 2}
	other = protocol.Conversation{Kind: protocol.KindDirect, A: 1, B: 3}
)

// said is the payload of a message.
func said(key protocol.Conversation, user, device, id, seq uint64, size int) []byte {
	return protocol.Message{
		Target: key.Target(user), Seq: seq, Time: 1000 + seq, Sender: user, Device: device, ClientID: id,
		Content: protocol.ContentText, Body: make([]byte, size),
	}.AppendPayload(nil)
}

// changeOf is a change with messages of user 1's device 1, with the seqs as client ids.
func changeOf(key protocol.Conversation, size int, seqs ...uint64) *ledger.Change {
	c := &ledger.Change{}
	for _, seq := range seqs {
		c.Messages = append(c.Messages, ledger.Message{Seq: seq, Previous: seq - 1, Count: seq, Own: seq, Payload: said(key, 1, 1, seq, seq, size)})
	}
	c.Conversations = []ledger.Changed{{Key: key, Before: ledger.Progress{Head: seqs[0] - 1}, Messages: hop.Span{End: uint32(len(seqs))}}}
	return c
}

func seqsOf(list []Kept) (seqs []uint64) {
	for _, k := range list {
		seqs = append(seqs, k.Seq)
	}
	return seqs
}

func wantRecent(t *testing.T, r Recent, first, before uint64, seqs ...uint64) {
	t.Helper()
	if r.First != first || r.Before != before || !reflect.DeepEqual(seqsOf(r.Messages), seqs) {
		t.Errorf("in memory there is from %d on, behind %d, %v; want %d, %d, %v", r.First, r.Before, seqsOf(r.Messages), first, before, seqs)
	}
}

func TestTail(t *testing.T) {
	tail := newTail(1 << 20)
	wantRecent(t, tail.recent(pair, 0, 0, 100), 1, 0)
	wantRecent(t, tail.recent(pair, 7, 0, 100), 8, 7) // it has messages, and none is in memory
	tail.add(changeOf(pair, 10, 8, 9, 10))
	tail.add(changeOf(other, 10, 1))
	wantRecent(t, tail.recent(pair, 10, 0, 100), 8, 7, 8, 9, 10)
	wantRecent(t, tail.recent(pair, 10, 9, 9), 8, 7, 9)
	wantRecent(t, tail.recent(pair, 9, 0, 100), 8, 7, 8, 9) // 10 is not shown yet
	wantRecent(t, tail.recent(pair, 7, 0, 100), 8, 7)
	wantRecent(t, tail.recent(pair, 12, 0, 100), 13, 12) // what lies between is not here
	wantRecent(t, tail.recent(other, 1, 0, 100), 1, 0, 1)
	for _, id := range []uint64{8, 9, 10} {
		if seq, time, ok := tail.known(pair, 1, 1, id); !ok || seq != id || time != 1000+id {
			t.Errorf("client id %d is known as seq %d at %d (%v)", id, seq, time, ok)
		}
	}
	for _, x := range [][3]uint64{{1, 1, 7}, {1, 2, 8}, {2, 1, 8}} {
		if _, _, ok := tail.known(pair, x[0], x[1], x[2]); ok {
			t.Errorf("%v is known", x)
		}
	}
	if _, _, ok := tail.known(other, 1, 1, 8); ok {
		t.Error("conversations share what they know")
	}
}

// TestTailCounts: of a message that is in memory it is known how many count up to it, and
// how many of them a user sent: of a direct conversation by what the other one sent, of a group
// where the newest of theirs is there too.
func TestTailCounts(t *testing.T) {
	tail := newTail(1 << 20)
	whole := changeOf(pair, 10, 1, 2, 4) // behind 2 there is a hole
	whole.Messages[1] = ledger.Message{Seq: 2, Count: 1, Own: 0, Payload: said(pair, 2, 1, 2, 2, 10)}
	whole.Messages[2] = ledger.Message{Seq: 4, Previous: 1, Count: 2, Own: 2, Payload: said(pair, 1, 1, 4, 4, 10)}
	tail.add(whole)
	tail.add(changeOf(other, 10, 8, 9)) // there are older ones
	group := protocol.Conversation{Kind: protocol.KindGroup, A: 7}
	tail.add(changeOf(group, 10, 8, 9))
	for _, x := range []struct {
		key                protocol.Conversation
		user, seq          uint64
		wantCount, wantOwn uint64
		known              bool
	}{
		{pair, 1, 1, 1, 1, true}, {pair, 1, 2, 1, 1, true}, {pair, 2, 2, 1, 0, true}, {pair, 1, 4, 2, 2, true},
		{pair, 3, 4, 2, 0, true},                           // never wrote
		{pair, 1, 3, 1, 1, true}, {pair, 2, 3, 1, 0, true}, // in the hole
		{pair, 1, 5, 0, 0, false}, // not shown yet
		{other, 1, 9, 9, 9, true}, {other, 3, 9, 9, 0, true}, {other, 1, 7, 0, 0, false}, {other, 3, 7, 0, 0, false},
		{group, 1, 9, 9, 9, true}, {group, 3, 9, 0, 0, false}, {group, 1, 7, 0, 0, false},
		{protocol.Conversation{Kind: protocol.KindDirect, A: 5, B: 6}, 5, 1, 0, 0, false},
	} {
		count, own, known := tail.counts(x.key, x.user, x.seq)
		if count != x.wantCount || own != x.wantOwn || known != x.known {
			t.Errorf("up to %d of %v there are %d, %d by %d, known: %t; want %d, %d, %t", x.seq, x.key, count, own, x.user, known, x.wantCount, x.wantOwn, x.known)
		}
	}
	many := make([]uint64, countLooks+10)
	for i := range many {
		many[i] = uint64(i + 1)
	}
	tail = newTail(1 << 20)
	tail.add(changeOf(group, 10, many...))
	if _, _, known := tail.counts(group, 2, uint64(len(many))); known {
		t.Error("it looks through all of them")
	}
	if count, own, known := tail.counts(group, 2, countLooks); count != countLooks || own != 0 || !known {
		t.Errorf("of the oldest it says %d, %d, %t", count, own, known)
	}
}

// TestTailBounded: the oldest messages go first, of whichever conversation, and what is
// left says where it begins.
func TestTailBounded(t *testing.T) {
	const size = 1000
	cost := keptCost + len(said(pair, 1, 1, 1, 1, size))
	tail := newTail(4 * cost)
	tail.add(changeOf(pair, size, 1, 2))
	tail.add(changeOf(other, size, 1, 2))
	wantRecent(t, tail.recent(pair, 2, 0, 100), 1, 0, 1, 2)
	tail.add(changeOf(other, size, 3))
	wantRecent(t, tail.recent(pair, 2, 0, 100), 2, 1, 2)
	tail.add(changeOf(pair, size, 3))
	wantRecent(t, tail.recent(pair, 3, 0, 100), 3, 2, 3)
	tail.add(changeOf(other, size, 4, 5, 6))
	wantRecent(t, tail.recent(pair, 3, 0, 100), 3, 2, 3)
	wantRecent(t, tail.recent(other, 6, 0, 100), 4, 3, 4, 5, 6)
	tail.add(changeOf(other, size, 7, 8, 9, 10, 11, 12))
	wantRecent(t, tail.recent(pair, 3, 0, 100), 4, 3)
	wantRecent(t, tail.recent(other, 12, 0, 100), 9, 8, 9, 10, 11, 12)
	if tail.bytes != 4*cost || len(tail.talks) != 1 || len(tail.order) != 4 {
		t.Errorf("it holds %d bytes in %d conversations and %d places", tail.bytes, len(tail.talks), len(tail.order))
	}
	tail.add(changeOf(pair, 8*size, 4)) // larger than all room
	wantRecent(t, tail.recent(pair, 4, 0, 100), 5, 4)
}

// TestTailFill: what is read back is linked where the message before it was read back too.
func TestTailFill(t *testing.T) {
	record := func(key protocol.Conversation, user, id, seq uint64) *hop.Record {
		blob := append(make([]byte, protocol.HeaderSize), said(key, user, 1, id, seq, 3)...)
		return &hop.Record{Blob: blob, Entries: []hop.RecordEntry{
			{Op: hop.OpRead, Conversation: key, User: user, Seq: 1},
			{Op: hop.OpMessage, Conversation: key, User: user, Device: 1, Seq: seq, N: seq, Own: 1, Frame: hop.Span{End: uint32(len(blob))}},
		}}
	}
	tail := newTail(1 << 20)
	tail.fill([]*hop.Record{record(pair, 1, 5, 11), record(pair, 2, 9, 12), record(other, 1, 5, 1), record(pair, 1, 6, 13)})
	r := tail.recent(pair, 13, 0, 100)
	wantRecent(t, r, 11, 10, 11, 12, 13)
	if m := r.Messages; m[0].Linked || m[1].Linked || !m[2].Linked || m[2].Previous != 11 {
		t.Errorf("the links are %+v", m)
	}
	if seq, _, ok := tail.known(pair, 2, 1, 9); !ok || seq != 12 {
		t.Errorf("what was read back is known as %d (%v)", seq, ok)
	}
	c := changeOf(pair, 3, 14)
	c.Messages[0].Previous = 13
	tail.add(c)
	if m := tail.recent(pair, 14, 14, 14).Messages; len(m) != 1 || !m[0].Linked || m[0].Previous != 13 {
		t.Errorf("behind it there is %+v", m)
	}
}
