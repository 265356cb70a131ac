//go:build cluster

package history

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/internal/services/servicestest"
	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// forgotten is the memory of an owner that knows the heads alone.
type forgotten map[protocol.Conversation]uint64

func (f forgotten) Recent(_ context.Context, c protocol.Conversation, _, _ uint64) (Recent, error) {
	return Recent{Head: f[c], First: f[c] + 1, Before: f[c]}, nil
}

// bereft gives a store that lacks the records in which user 2 speaks in chat, and who reads it.
// Nothing is known of the conversation of users 5 and 6 but its head.
func bereft(t *testing.T) (s *Store, r *Reader, heads forgotten, states []*ledger.Loaded) {
	n := clickHouseNode(t, 1)
	chat(n)
	s = openStore(t, optionsAt(t, servicestest.ClickHouse(t)))
	b := newBlock()
	for _, fed := range n.queues[0].records {
		if !slices.ContainsFunc(fed.Record.Entries, func(e hop.RecordEntry) bool { return e.User == 2 }) {
			b.add(fed)
		}
	}
	if err := s.insertRows(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	heads = forgotten{direct(1, 2): 8, direct(5, 6): 3}
	for c, head := range heads {
		states = append(states, &ledger.Loaded{Key: c, Progress: ledger.Progress{Head: head, Time: 1, Count: head, Changed: 1}})
	}
	return s, NewReader(s, heads), heads, states
}

// read gives the seqs of a conversation as pages give them, and the first error.
func (f forgotten) read(t *testing.T, r *Reader, c protocol.Conversation, backward bool) (seqs []uint64, err error) {
	t.Helper()
	from := uint64(1)
	if backward {
		from = f[c]
	}
	for from > 0 && from <= f[c] {
		p := logic.Page{Conversation: c, From: from, Backward: backward, Limit: 2, Room: 1 << 20}
		if err := r.Pages(t.Context(), []*logic.Page{&p}); err != nil || p.Err != nil {
			return seqs, errors.Join(err, p.Err)
		}
		if p.First > from || p.Last < from {
			t.Fatalf("the page from %d goes from %d to %d", from, p.First, p.Last)
		}
		var page []uint64
		for items := p.Items; len(items) > 0; {
			size := binary.BigEndian.Uint32(items)
			var m protocol.Message
			if err := m.Decode(items[4 : 4+size]); err != nil {
				t.Fatal(err)
			}
			page, items = append(page, m.Seq), items[4+size:]
		}
		if from = p.Last + 1; backward {
			slices.Reverse(page)
			from = p.First - 1
		}
		seqs = append(seqs, page...)
	}
	return seqs, nil
}

// What is not there of a conversation is lost for good once that was said and the queue is
// taken in so far; before, it is missing.
func TestLostForGood(t *testing.T) {
	s, r, heads, states := bereft(t)
	queue := chain.Queue{Class: chain.Chat, Number: 0}
	missing := func(when string) {
		t.Helper()
		for c := range heads {
			for _, backward := range []bool{false, true} {
				if seqs, err := heads.read(t, r, c, backward); !errors.Is(err, logic.ErrUnavailable) || !errors.Is(err, errMissing) {
					t.Errorf("%s: of %v there are %v, %v", when, c, seqs, err)
				}
			}
		}
	}
	missing("before it is given up")
	if err := s.GiveUp(t.Context(), queue, 50, states); err != nil {
		t.Fatal(err)
	}
	missing("before the queue is taken in")
	for _, w := range all(t, s, 1) { // a view that is made anew by then does not wait for it
		if w.Err != nil || len(w.Last) == 0 {
			t.Errorf("of %v nothing is shown, %v", w.Key, w.Err)
		}
	}
	if err := s.SetMark(t.Context(), queue, chain.Mark{Offset: 49, Writer: 1, Number: 1}, chain.Mark{Offset: 49, Writer: 1, Number: 1}); err != nil {
		t.Fatal(err)
	}
	missing("when the queue is not taken in so far")
	eventually(t, "the mark is the newer one", func() bool { // within a second the order of marks is not certain
		if err := s.SetMark(t.Context(), queue, chain.Mark{Offset: 50, Writer: 2, Number: 1}, chain.Mark{Offset: 50, Writer: 2, Number: 1}); err != nil {
			t.Fatal(err)
		}
		_, certain, _, err := s.Marks(t.Context(), queue)
		return err == nil && certain.Offset == 50
	})
	for c, want := range map[protocol.Conversation][]uint64{direct(1, 2): {1, 2, 3, 6}, direct(5, 6): nil} {
		if seqs, err := heads.read(t, r, c, false); err != nil || !slices.Equal(seqs, want) {
			t.Errorf("of %v there are %v, %v; want %v", c, seqs, err, want)
		}
		slices.Reverse(want)
		if seqs, err := heads.read(t, r, c, true); err != nil || !slices.Equal(seqs, want) {
			t.Errorf("backward of %v there are %v, %v; want %v", c, seqs, err, want)
		}
	}
	heads[direct(1, 2)] = 9 // which nobody gave up
	if seqs, err := heads.read(t, r, direct(1, 2), false); !errors.Is(err, errMissing) || !slices.Equal(seqs, []uint64{1, 2, 3, 6}) {
		t.Errorf("with a message that is missing there are %v, %v", seqs, err)
	}
	if newest, err := s.Newest(t.Context(), []protocol.Conversation{direct(1, 2), direct(5, 6)}); err != nil || newest[direct(1, 2)] != 6 || newest[direct(5, 6)] != 0 {
		t.Errorf("the newest are %v, %v", newest, err)
	}
}

// Where messages are lost for good, cursors are counted as of the user's own newest message,
// walks go on below, and a rebuilding shows what is left.
func TestAroundWhatIsLost(t *testing.T) {
	s, r, _, states := bereft(t)
	queue := chain.Queue{Class: chain.Chat, Number: 0}
	if err := s.GiveUp(t.Context(), queue, 50, states); err != nil {
		t.Fatal(err)
	}
	if err := s.SetMark(t.Context(), queue, chain.Mark{Offset: 60, Writer: 1, Number: 1}, chain.Mark{Offset: 60, Writer: 1, Number: 1}); err != nil {
		t.Fatal(err)
	}
	wantCount(t, r, Count{User: 1, Seq: 8, Count: 6, Own: 4})
	wantCount(t, r, Count{User: 1, Seq: 5, Count: 3, Own: 3})
	wantCount(t, r, Count{User: 2, Seq: 8, Count: 0, Own: 0})
	wantWalk(t, r, &ledger.Walk{Key: direct(1, 2), User: 1, Device: 1, From: 6}, []uint64{6, 3, 2, 1})
	wantWalk(t, r, &ledger.Walk{Key: direct(1, 2), User: 1, Device: 1, From: 8}, []uint64{6, 3, 2, 1})
	wantWalk(t, r, &ledger.Walk{Key: direct(1, 2), User: 2, Device: 1, From: 8}, nil)
	shown := map[protocol.Conversation]string{}
	for _, w := range all(t, s, 1) {
		var m protocol.Message
		if err := m.Decode(w.Last); err != nil || m.Seq != w.Head || m.Conversation() != w.Key {
			t.Errorf("of %v with head %d the newest is %+v, %v", w.Key, w.Head, m, err)
		}
		shown[w.Key] = string(m.Body)
	}
	if shown[direct(1, 2)] != "six" || shown[direct(5, 6)] != "" || shown[direct(1, 3)] != "to another" || len(shown) != 3 {
		t.Errorf("shown is %v", shown)
	}
}

// having gives a store that has of a node's only queue the records at some offsets.
func having(t *testing.T, n *node, offsets ...int) *Store {
	t.Helper()
	s := ownClickHouse(t)
	take(t, s, n.queues[0], offsets...)
	return s
}

// take inserts records of a queue, without a mark.
func take(t *testing.T, s *Store, q *ownQueue, offsets ...int) {
	t.Helper()
	b := newBlock()
	for _, at := range offsets {
		b.add(q.records[at])
	}
	must(t, s.insertRows(t.Context(), b))
}

// giveUp gives up what a store lacks of the conversation of users 1 and 2 up to a head. It is
// certain once the queue is taken in up to offset 50.
func giveUp(t *testing.T, s *Store, head uint64) {
	t.Helper()
	lost := &ledger.Loaded{Key: direct(1, 2), Progress: ledger.Progress{Head: head, Time: 1, Count: head, Changed: 1}}
	must(t, s.GiveUp(t.Context(), chain.Queue{Class: chain.Chat}, 50, []*ledger.Loaded{lost}))
}

// takenIn says that the queue is taken in up to there.
func takenIn(t *testing.T, s *Store) {
	t.Helper()
	mark := chain.Mark{Offset: 50, Writer: 1, Number: 1}
	must(t, s.SetMark(t.Context(), chain.Queue{Class: chain.Chat}, mark, mark))
}

// A page that finds messages lost passes none that came in since it looked for them: they are there
// when the mark says that the queue is taken in, and the page looks again after that.
func TestWhatCameSinceIsNotLost(t *testing.T) {
	n := clickHouseNode(t, 1)
	chat(n)
	q := n.queues[0]
	s := having(t, n, 0) // one, two and three
	giveUp(t, s, 8)
	late := true
	meddle(t, s, func(sql string) string {
		if late && strings.Contains(sql, " FROM marks ") {
			late = false
			take(t, s, q, 5) // six
			takenIn(t, s)
		}
		return sql
	})
	heads := forgotten{direct(1, 2): 8}
	r := NewReader(s, heads)
	if seqs, err := heads.read(t, r, direct(1, 2), false); late || err != nil || !slices.Equal(seqs, []uint64{1, 2, 3, 6}) {
		t.Errorf("there are %v, %v", seqs, err)
	}
}

// What the owner has in memory is not lost, though it was given up.
func TestWhatIsInMemoryIsNotLost(t *testing.T) {
	n := clickHouseNode(t, 1)
	n.keep = 2
	chat(n)
	n.flush()
	s := having(t, n, 0)
	giveUp(t, s, 8)
	takenIn(t, s)
	r := NewReader(s, n)
	checkPages(t, r, pageCase{logic.Page{From: 4}, 4, 8, []uint64{7, 8}}, pageCase{logic.Page{Backward: true}, 7, 8, []uint64{7, 8}})
}

// Counts over a loss are not lower than those of what retention removed before it.
func TestCountsOverALossBehindWhatWasRemoved(t *testing.T) {
	n := clickHouseNode(t, 1)
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	n.now = func() time.Time { return now }
	n.batch(1, 1, 2, 1, "one", "two")
	n.batch(2, 1, 1, 1, "three")
	now = now.Add(week)
	n.batch(2, 1, 1, 2, "four") // which is lost
	n.batch(2, 1, 1, 3, "five", "six")
	s := having(t, n, 0, 1, 3)
	giveUp(t, s, 4)
	takenIn(t, s)
	if weeks, err := s.Retain(t.Context(), week, now.Add(week)); err != nil || weeks != 1 {
		t.Fatalf("%d weeks are removed, %v", weeks, err)
	}
	r := NewReader(s, forgotten{direct(1, 2): 6})
	wantCount(t, r, Count{User: 1, Seq: 6, Count: 3, Own: 2})
	wantCount(t, r, Count{User: 2, Seq: 6, Count: 6, Own: 4})
	wantCount(t, r, Count{User: 3, Seq: 6, Count: 3})
}
