//go:build cluster

package history

import (
	"strings"
	"testing"
	"time"

	"gannet/logic"
	"gannet/logic/ledger"
)

// Weeks that are over go, and what they leave behind is enough for all that depends on it.
func TestRetain(t *testing.T) {
	n := clickHouseNode(t, 1)
	monday := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	now := monday
	n.now = func() time.Time { return now }
	large := strings.Repeat("l", 2*shortBody)
	n.batch(1, 1, 2, 1, "one", "two", "three")
	n.batch(2, 1, 1, 1, "four")
	n.batch(3, 1, 1, 1, "old", large)
	n.read(1, 3, 1)
	now = now.Add(week)
	n.batch(1, 1, 2, 4, "five", "six")
	n.flush()
	now = now.Add(week)
	n.batch(1, 1, 2, 6, "seven")
	n.flush()
	before := all(t, n.store, 1)

	if weeks, err := n.store.Retain(t.Context(), 3*week, now); err != nil || weeks != 0 {
		t.Fatalf("%d weeks are removed too early, %v", weeks, err)
	}
	n.want(logic.Page{Conversation: direct(1, 2)}, 1, 7, 7)
	for round := range 2 {
		weeks, err := n.store.Retain(t.Context(), 7*24*time.Hour, now)
		if err != nil || weeks != 1-round {
			t.Fatalf("%d weeks are removed, %v", weeks, err)
		}
		checkPages(t, n.reader,
			pageCase{logic.Page{}, 1, 7, []uint64{5, 6, 7}},
			pageCase{logic.Page{Limit: 2}, 1, 6, []uint64{5, 6}},
			pageCase{logic.Page{From: 3, To: 5}, 3, 5, []uint64{5}},
			pageCase{logic.Page{From: 2, To: 4}, 2, 4, nil},
			pageCase{logic.Page{From: 4}, 4, 7, []uint64{5, 6, 7}},
			pageCase{logic.Page{Backward: true}, 5, 7, []uint64{5, 6, 7}},
			pageCase{logic.Page{Backward: true, From: 4}, 1, 4, nil},
			pageCase{logic.Page{Backward: true, From: 6, Limit: 1}, 6, 6, []uint64{6}},
		)
		p := n.want(logic.Page{Conversation: direct(1, 3)}, 1, 2, 0)
		if p.Head != 2 {
			t.Errorf("the head is %d", p.Head)
		}
		// Nobody's counts change. A cursor in what is gone counts as the last that is gone.
		for _, c := range []Count{
			{User: 1, Seq: 2, Count: 4, Own: 3}, {User: 2, Seq: 4, Count: 4, Own: 1}, {User: 3, Seq: 4, Count: 4},
			{User: 1, Seq: 5, Count: 5, Own: 4}, {User: 2, Seq: 6, Count: 6, Own: 1}, {User: 1, Seq: 7, Count: 7, Own: 6},
		} {
			wantCount(t, n.reader, c)
		}
		// A rebuilding has everything, the newest messages included.
		same(t, all(t, n.store, 1), before)

		var got []uint64
		w := &ledger.Walk{Key: direct(1, 2), User: 1, Device: 1, From: 7, Visit: func(_, seq, _, _ uint64) bool { got = append(got, seq); return true }}
		if err := n.reader.Walk(t.Context(), []*ledger.Walk{w}); err != nil || w.Err != nil || len(got) != 3 {
			t.Errorf("a walk visits %v, %v, %v", got, err, w.Err)
		}
	}
	if n := count(t, n.store, "messages") + count(t, n.store, "senders"); n != 6 {
		t.Errorf("%d rows are left, want 6", n)
	}

	// The next week replaces what the first one left.
	if weeks, err := n.store.Retain(t.Context(), 0, now); err != nil || weeks != 1 {
		t.Fatalf("%d weeks are removed, %v", weeks, err)
	}
	checkPages(t, n.reader, pageCase{logic.Page{}, 1, 7, []uint64{7}}, pageCase{logic.Page{From: 2, To: 6}, 2, 6, nil})
	wantCount(t, n.reader, Count{User: 2, Seq: 3, Count: 6, Own: 1})
	same(t, all(t, n.store, 1), before)
}

// What is missing behind what was removed is missing, not removed.
func TestRetentionHidesNothing(t *testing.T) {
	store := ownClickHouse(t)
	r := talk(t, store,
		written{seq: 1, sender: 1, device: 1, n: 1, own: 1},
		written{seq: 4, before: 3, sender: 1, device: 1, previous: 1, n: 4, own: 2},
	)
	if err := store.conn.Exec(t.Context(), "INSERT INTO removed (kind, a, b, seq, n) SELECT 1, toUInt64(1), toUInt64(2), toUInt64(2), toUInt64(2)"); err != nil {
		t.Fatal(err)
	}
	checkPages(t, r,
		pageCase{logic.Page{From: 2}, 2, 2, nil},
		pageCase{page: logic.Page{From: 3}},
		pageCase{logic.Page{Backward: true}, 4, 4, []uint64{4}},
		pageCase{page: logic.Page{Backward: true, From: 3}},
		pageCase{logic.Page{Backward: true, From: 2}, 1, 2, nil},
	)
	wantCount(t, r, Count{User: 2, Seq: 4, Count: 4, Own: unbound, Bounds: true})
}
