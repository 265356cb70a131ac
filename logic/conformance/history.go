package conformance

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"gannet/logic"
	"gannet/protocol"
)

// History holds an adapter of logic.History to its guarantees.
func History(t *testing.T, open Open) {
	runAll(t, open, []run{
		{"an empty conversation", emptyHistory},
		{"where pages begin and end", historyRanges},
		{"pages of a bounded number of messages", historyLimits},
		{"pages bounded in bytes", historyRoom},
		{"page by page through a conversation", historyWalk},
		{"messages come back as they were sent", historyContent},
		{"neighbours do not leak into each other", historyApart},
		{"many pages in one call", historyMany},
	})
}

// pages reads pages; limit and room are large where none is given.
func (w *world) pages(pages ...*logic.Page) {
	w.t.Helper()
	for _, p := range pages {
		if p.Limit == 0 {
			p.Limit = 1 << 20
		}
		if p.Room == 0 {
			p.Room = 1 << 30
		}
	}
	if err := w.History.Pages(w.t.Context(), pages); err != nil {
		w.t.Fatalf("Pages: %v", err)
	}
	for _, p := range pages {
		if p.Err != nil {
			w.t.Fatalf("a page: %v", p.Err)
		}
	}
}

// items takes the messages of a page apart, and checks that they are what a page
// may hold.
func (w *world) items(p *logic.Page) (found []protocol.Message) {
	w.t.Helper()
	last := p.First
	for rest := p.Items; len(rest) > 0; {
		size := binary.BigEndian.Uint32(rest)
		var m protocol.Message
		if err := m.Decode(rest[4 : 4+size]); err != nil {
			w.t.Fatalf("message %d of a page: %v", len(found), err)
		}
		if m.Seq < last || m.Seq > p.Last || m.Conversation() != p.Conversation {
			w.t.Fatalf("the page from %d to %d of %v has a message %+v", p.First, p.Last, p.Conversation, m)
		}
		last, rest, found = m.Seq+1, rest[4+size:], append(found, m)
	}
	if len(found) != p.Count {
		w.t.Fatalf("%d messages in a page that says %d", len(found), p.Count)
	}
	return found
}

// messages gives all messages of a conversation.
func (w *world) messages(c protocol.Conversation) []protocol.Message {
	w.t.Helper()
	p := &logic.Page{Conversation: c}
	w.pages(p)
	return w.items(p)
}

// wantSeqs checks which seqs the messages have.
func (w *world) wantSeqs(found []protocol.Message, want ...uint64) {
	w.t.Helper()
	var got []uint64
	for _, m := range found {
		got = append(got, m.Seq)
	}
	if !slices.Equal(got, want) {
		w.t.Fatalf("the seqs are %v, want %v", got, want)
	}
}

func (w *world) headOf(c protocol.Conversation) uint64 {
	w.t.Helper()
	p := &logic.Page{Conversation: c}
	w.pages(p)
	return p.Head
}

func (w *world) wantHead(c protocol.Conversation, want uint64) {
	w.t.Helper()
	if head := w.headOf(c); head != want {
		w.t.Fatalf("the head of %v is %d, want %d", c, head, want)
	}
}

func emptyHistory(w *world) {
	for _, p := range []*logic.Page{{}, {From: 1}, {From: 5}, {To: 7}, {Backward: true}, {From: 9, Backward: true}} {
		p.Conversation = direct(1, 2)
		w.pages(p)
		if p.Head != 0 || p.Count != 0 || len(p.Items) != 0 || p.Last >= p.First {
			w.t.Fatalf("a conversation that nobody wrote to has %+v", p)
		}
	}
}

func historyRanges(w *world) {
	w.fill(1, 1, 2, 1, 10)
	const max = ^uint64(0)
	for _, c := range []struct {
		from, to    uint64
		backward    bool
		first, last uint64 // what is there; last below first: nothing
	}{
		{0, 0, false, 1, 10}, {1, 0, false, 1, 10}, {4, 0, false, 4, 10}, {10, 0, false, 10, 10},
		{11, 0, false, 1, 0}, {max, 0, false, 1, 0},
		{0, 3, false, 1, 3}, {2, 3, false, 2, 3}, {3, 3, false, 3, 3}, {4, 3, false, 1, 0}, {9, 100, false, 9, 10}, {9, max, false, 9, 10},
		{0, 0, true, 1, 10}, {10, 0, true, 1, 10}, {100, 0, true, 1, 10}, {max, 0, true, 1, 10}, {4, 0, true, 1, 4}, {1, 0, true, 1, 1},
	} {
		for range 2 {
			p := &logic.Page{Conversation: direct(1, 2), From: c.from, To: c.to, Backward: c.backward}
			w.pages(p)
			if p.Head != 10 {
				w.t.Fatalf("%+v: head %d", c, p.Head)
			}
			var want []uint64
			for seq := c.first; seq <= c.last; seq++ {
				want = append(want, seq)
			}
			w.wantSeqs(w.items(p), want...)
			if there := p.Last >= p.First; there != (len(want) > 0) || there && (p.First != c.first || p.Last != c.last) {
				w.t.Fatalf("%+v is said to be complete from %d to %d", c, p.First, p.Last)
			}
		}
	}
	w.reopen()
	w.wantSeqs(w.messages(direct(1, 2)), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
}

func historyLimits(w *world) {
	w.fill(1, 1, 2, 1, 10)
	for limit := 1; limit <= 12; limit++ {
		n := uint64(min(limit, 10))
		p := &logic.Page{Conversation: direct(1, 2), Limit: limit}
		back := &logic.Page{Conversation: direct(1, 2), Limit: limit, Backward: true}
		w.pages(p, back)
		if p.First != 1 || p.Last != n || p.Count != int(n) {
			w.t.Fatalf("forward at most %d: %d to %d, %d messages", limit, p.First, p.Last, p.Count)
		}
		if back.First != 11-n || back.Last != 10 || back.Count != int(n) {
			w.t.Fatalf("backward at most %d: %d to %d, %d messages", limit, back.First, back.Last, back.Count)
		}
		if len(w.items(p)) != int(n) || w.items(back)[0].Seq != 11-n {
			w.t.Fatalf("at most %d: other messages than the page says", limit)
		}
	}
}

func historyRoom(w *world) {
	for i := range uint64(10) {
		w.apply(new(batch).send(1, 1, 2, i+1, strings.Repeat("x", int(i)*10)))
	}
	whole := &logic.Page{Conversation: direct(1, 2)}
	w.pages(whole)
	size := func(messages []protocol.Message) (n int) {
		for _, m := range messages {
			n += 4 + len(m.AppendPayload(nil))
		}
		return n
	}
	all := w.items(whole)
	if size(all) != len(whole.Items) {
		w.t.Fatalf("ten messages take %d bytes, want %d", len(whole.Items), size(all))
	}
	for n := 1; n <= 10; n++ {
		for _, more := range []int{0, 1, 53} {
			p := &logic.Page{Conversation: direct(1, 2), Room: size(all[:n]) + more}
			back := &logic.Page{Conversation: direct(1, 2), Room: size(all[10-n:]) + more, Backward: true}
			w.pages(p, back)
			w.items(p)
			w.items(back)
			if p.First != 1 || p.Last != uint64(n) || p.Count != n || back.Last != 10 || back.First != uint64(11-n) || back.Count != n {
				w.t.Fatalf("room for %d: %d to %d forward, %d to %d backward", n, p.First, p.Last, back.First, back.Last)
			}
		}
	}
	p := &logic.Page{Conversation: direct(1, 2), From: 9, Room: 1}
	back := &logic.Page{Conversation: direct(1, 2), Room: 1, Backward: true}
	w.pages(p, back)
	w.wantSeqs(w.items(p), 9)
	w.wantSeqs(w.items(back), 10)
	if p.Last != 9 || back.First != 10 {
		w.t.Fatalf("pages without room go to %d and from %d", p.Last, back.First)
	}
}

func historyWalk(w *world) {
	const total = 300
	w.fill(1, 1, 2, 1, total)
	var forward, backward []uint64
	for from := uint64(1); from <= total; {
		p := &logic.Page{Conversation: direct(1, 2), From: from, To: total, Limit: 7}
		w.pages(p)
		for _, m := range w.items(p) {
			forward = append(forward, m.Seq)
		}
		from = p.Last + 1
	}
	for from := uint64(0); from != 1 || len(backward) == 0; {
		p := &logic.Page{Conversation: direct(1, 2), From: from, Backward: true, Limit: 11}
		w.pages(p)
		part := w.items(p)
		slices.Reverse(part)
		for _, m := range part {
			backward = append(backward, m.Seq)
		}
		if from = p.First - 1; from == 0 {
			break
		}
	}
	slices.Reverse(backward)
	if len(forward) != total || !slices.Equal(forward, backward) || !slices.IsSorted(forward) {
		w.t.Fatalf("forward %v, backward %v", forward, backward)
	}
}

func historyContent(w *world) {
	body := string(make([]byte, protocol.MaxBody))
	sent := w.apply(new(batch).send(2, 3, 1, 77, body).send(1, 4, 2, 1, "").silent(1, 4, 2, 2))
	w.reopen()
	found := w.messages(direct(1, 2))
	w.wantSeqs(found, 1, 2, 3)
	for i, m := range found {
		e := sent[i]
		if m.Target != to(3-e.User) || m.Sender != e.User || m.Device != e.Device || m.ClientID != e.ClientID ||
			m.Time != e.Time || m.Content != protocol.ContentText {
			w.t.Fatalf("message %d came back as %+v, sent as %+v", i, m, e)
		}
	}
	if string(found[0].Body) != body || len(found[1].Body) != 0 || string(found[2].Body) != "silent" {
		w.t.Fatalf("bodies of %d, %d and %d bytes, want %d, 0 and 6", len(found[0].Body), len(found[1].Body), len(found[2].Body), len(body))
	}
}

func historyApart(w *world) {
	peers := neighbours(4)
	for i, peer := range peers {
		w.fill(1, 1, peer, 1, i+1)
	}
	for range 2 {
		for i, peer := range peers {
			for _, backward := range []bool{false, true} {
				p := &logic.Page{Conversation: direct(1, peer), Backward: backward}
				w.pages(p)
				if n := uint64(i + 1); p.Head != n || p.First != 1 || p.Last != n || len(w.items(p)) != int(n) { // items looks at their conversation
					w.t.Fatalf("the conversation with %d has %d messages up to %d, want %d", peer, p.Count, p.Head, n)
				}
			}
		}
		w.wantHead(direct(1, peers[3]+1), 0)
		w.reopen()
	}
}

func historyMany(w *world) {
	var pages []*logic.Page
	for peer := uint64(2); peer < 30; peer++ {
		w.fill(1, 1, peer, 1, int(peer))
		pages = append(pages,
			&logic.Page{Conversation: direct(1, peer), Limit: int(peer)},
			&logic.Page{Conversation: direct(1, peer), From: 2, To: 2},
			&logic.Page{Conversation: direct(1, peer+100)})
	}
	w.pages(pages...)
	for i, peer := 0, uint64(2); peer < 30; i, peer = i+3, peer+1 {
		if n := len(w.items(pages[i])); n != int(peer) || pages[i].Head != peer {
			w.t.Fatalf("the conversation with %d has %d messages, head %d", peer, n, pages[i].Head)
		}
		w.wantSeqs(w.items(pages[i+1]), 2)
		if pages[i+2].Head != 0 || pages[i+2].Count != 0 {
			w.t.Fatalf("a conversation that nobody wrote to has %+v", pages[i+2])
		}
	}
	w.pages()
}
