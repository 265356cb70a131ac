//go:build cluster

package history

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"gannet/internal/services/servicestest"
	"gannet/logic"
	"gannet/protocol"
)

// heads is a Tail that has nothing but heads in memory.
type heads map[protocol.Conversation]uint64

func (h heads) Recent(_ context.Context, c protocol.Conversation, _, _ uint64) (Recent, error) {
	return Recent{Head: h[c], First: h[c] + 1, Before: h[c]}, nil
}

// written is a message of a hand-made conversation of users 1 and 2.
type written struct {
	seq, before      uint64
	sender, device   uint64
	previous, n, own uint64
	body             string
}

// talk inserts messages of the conversation of users 1 and 2, and gives its reader. Its
// head is that of the last one.
func talk(t *testing.T, store *Store, list ...written) *Reader {
	t.Helper()
	b := newBlock()
	for _, w := range list {
		m := protocol.Message{
			Target: protocol.Target{Kind: protocol.KindDirect, ID: 3 - w.sender}, Seq: w.seq, Time: 1_700_000_000_000 + w.seq,
			Sender: w.sender, Device: w.device, ClientID: 1000 + w.seq, Content: protocol.ContentText, Body: []byte(w.body),
		}
		row := messageRow{before: w.before, previous: w.previous, linked: true, n: w.n, own: w.own}
		if !b.addMessage(direct(1, 2), w.seq, m.AppendPayload(nil), row) {
			t.Fatalf("%+v is refused", w)
		}
	}
	if err := store.insertRows(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	return NewReader(store, heads{direct(1, 2): list[len(list)-1].seq})
}

func ownClickHouse(t *testing.T) *Store {
	t.Helper()
	return openStore(t, optionsAt(t, servicestest.ClickHouse(t)))
}

// seqsOf gives the seqs of a page's messages.
func seqsOf(t *testing.T, p *logic.Page) (seqs []uint64) {
	t.Helper()
	for rest := p.Items; len(rest) > 0; {
		size := binary.BigEndian.Uint32(rest)
		var m protocol.Message
		if err := m.Decode(rest[4 : 4+size]); err != nil {
			t.Fatal(err)
		}
		seqs, rest = append(seqs, m.Seq), rest[4+size:]
	}
	return seqs
}

// pageCase is a page of the conversation of users 1 and 2, and what it should be.
type pageCase struct {
	page        logic.Page
	first, last uint64 // 0 and 0: it cannot be given
	seqs        []uint64
}

func checkPages(t *testing.T, r *Reader, cases ...pageCase) {
	t.Helper()
	for _, c := range cases {
		p := c.page
		p.Conversation, p.Room = direct(1, 2), 1<<30
		if p.Limit == 0 {
			p.Limit = 100
		}
		if err := r.Pages(t.Context(), []*logic.Page{&p}); err != nil {
			t.Fatal(err)
		}
		if c.last == 0 {
			if !errors.Is(p.Err, logic.ErrUnavailable) {
				t.Errorf("%+v: %d to %d, %v; want it to be unavailable", c.page, p.First, p.Last, p.Err)
			}
			continue
		}
		if got := seqsOf(t, &p); p.Err != nil || p.First != c.first || p.Last != c.last || !slices.Equal(got, c.seqs) || p.Count != len(got) {
			t.Errorf("%+v: complete from %d to %d with %v, %v; want %d to %d with %v", c.page, p.First, p.Last, got, p.Err, c.first, c.last, c.seqs)
		}
	}
}

// Rows that are not there end a page, and are no hole.
func TestWhatIsMissingIsNoHole(t *testing.T) {
	store := ownClickHouse(t)
	var whole []written
	for seq := uint64(1); seq <= 10; seq++ {
		whole = append(whole, written{seq: seq, before: seq - 1, sender: 1, device: 1, previous: seq - 1, n: seq, own: seq})
	}
	r := talk(t, store, append(slices.Clone(whole[:4]), whole[6:]...)...)
	checkPages(t, r,
		pageCase{logic.Page{}, 1, 4, []uint64{1, 2, 3, 4}},
		pageCase{logic.Page{From: 3, To: 4}, 3, 4, []uint64{3, 4}},
		pageCase{logic.Page{From: 4, To: 9}, 4, 4, []uint64{4}},
		pageCase{page: logic.Page{From: 5}},
		pageCase{page: logic.Page{From: 6, To: 6}},
		pageCase{page: logic.Page{From: 6}},
		pageCase{logic.Page{From: 7}, 7, 10, []uint64{7, 8, 9, 10}},
		pageCase{logic.Page{Backward: true}, 7, 10, []uint64{7, 8, 9, 10}},
		pageCase{logic.Page{Backward: true, From: 8}, 7, 8, []uint64{7, 8}},
		pageCase{page: logic.Page{Backward: true, From: 6}},
		pageCase{page: logic.Page{Backward: true, From: 5}},
		pageCase{logic.Page{Backward: true, From: 4, Limit: 2}, 3, 4, []uint64{3, 4}},
	)
	if n := store.Vars()["refused.incomplete"]; n != 5 {
		t.Errorf("%d pages are counted as incomplete, want 5", n)
	}
	talk(t, store, whole[4:6]...)
	all := []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	checkPages(t, r, pageCase{logic.Page{}, 1, 10, all}, pageCase{logic.Page{Backward: true}, 1, 10, all}, pageCase{logic.Page{From: 6, To: 6}, 6, 6, []uint64{6}})
}

// The newest message may be missing too: the head is known from elsewhere.
func TestAMissingHeadIsNoHole(t *testing.T) {
	store := ownClickHouse(t)
	talk(t, store, written{seq: 1, sender: 1, device: 1, n: 1, own: 1})
	r := NewReader(store, heads{direct(1, 2): 2})
	checkPages(t, r,
		pageCase{logic.Page{}, 1, 1, []uint64{1}},
		pageCase{page: logic.Page{Backward: true}},
		pageCase{page: logic.Page{From: 2}},
		pageCase{logic.Page{Backward: true, From: 1}, 1, 1, []uint64{1}},
	)
}

// Seqs that never existed are part of what is complete.
func TestHoles(t *testing.T) {
	store := ownClickHouse(t)
	var list []written
	before := uint64(0)
	for i, seq := range []uint64{3, 4, 9, 10, 11} {
		list = append(list, written{seq: seq, before: before, sender: 1, device: 1, previous: before, n: uint64(i) + 1, own: uint64(i) + 1})
		before = seq
	}
	r := talk(t, store, list...)
	checkPages(t, r,
		pageCase{logic.Page{}, 1, 11, []uint64{3, 4, 9, 10, 11}},
		pageCase{logic.Page{Limit: 2}, 1, 4, []uint64{3, 4}},
		pageCase{logic.Page{To: 2}, 1, 2, nil},
		pageCase{logic.Page{From: 2, To: 3}, 2, 3, []uint64{3}},
		pageCase{logic.Page{From: 5, To: 7}, 5, 7, nil},
		pageCase{logic.Page{From: 7, To: 8}, 7, 8, nil},
		pageCase{logic.Page{From: 6, Limit: 2}, 6, 10, []uint64{9, 10}},
		pageCase{logic.Page{Backward: true}, 1, 11, []uint64{3, 4, 9, 10, 11}},
		pageCase{logic.Page{Backward: true, From: 7}, 1, 7, []uint64{3, 4}},
		pageCase{logic.Page{Backward: true, From: 8, Limit: 1}, 4, 8, []uint64{4}},
		pageCase{logic.Page{Backward: true, From: 9, Limit: 1}, 5, 9, []uint64{9}},
		pageCase{logic.Page{Backward: true, From: 2}, 1, 2, nil},
	)
}

// Pages of many conversations are one query, however they are bounded.
func TestManyPagesAreOneQuery(t *testing.T) {
	n := clickHouseNode(t, 1)
	const conversations = 100
	for peer := uint64(2); peer < 2+conversations; peer++ {
		n.batch(1, 1, peer, peer*1000, repeat(int(peer%7)+1, strings.Repeat("x", int(peer)))...)
	}
	n.flush()
	var pages []*logic.Page
	for peer := uint64(2); peer < 2+conversations; peer++ {
		pages = append(pages, &logic.Page{Conversation: direct(1, peer), Limit: 3, Room: 1 << 20, Backward: peer%2 == 0})
	}
	before := n.store.Vars()["queries"]
	if err := n.reader.Pages(t.Context(), pages); err != nil {
		t.Fatal(err)
	}
	if asked := n.store.Vars()["queries"] - before; asked != 1 {
		t.Errorf("%d queries for %d pages", asked, conversations)
	}
	for _, p := range pages {
		peer := p.Conversation.B
		head := peer%7 + 1
		first, last := uint64(1), min(head, 3)
		if p.Backward {
			first, last = head-min(head, 3)+1, head
		}
		if p.Err != nil || p.Head != head || p.First != first || p.Last != last || len(seqsOf(t, p)) != int(last-first)+1 {
			t.Errorf("the page of %d is %d to %d of %d with %d messages, %v", peer, p.First, p.Last, p.Head, p.Count, p.Err)
		}
	}
}

// Bodies that are too large to come with every row that may be wanted come with the rows
// that are.
func TestLargeBodies(t *testing.T) {
	n := clickHouseNode(t, 1)
	large, small := strings.Repeat("l", 2*shortBody), strings.Repeat("s", shortBody)
	n.batch(1, 1, 2, 1, large, small, large, large)
	n.flush()
	room := 4 + messageHead + len(large) + 4 + messageHead + len(small)
	p := n.want(logic.Page{Conversation: direct(1, 2), Room: room}, 1, 2, 2)
	if !strings.Contains(string(p.Items), large) || !strings.HasSuffix(string(p.Items), small) || len(p.Items) != room {
		t.Errorf("the page has %d bytes", len(p.Items))
	}
	p = n.want(logic.Page{Conversation: direct(1, 2), Backward: true, Room: room}, 4, 4, 1)
	if !strings.HasSuffix(string(p.Items), large) {
		t.Errorf("the page has %d bytes", len(p.Items))
	}
}
