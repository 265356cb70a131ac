//go:build cluster

package history

import (
	"reflect"
	"slices"
	"testing"

	"gannet/internal/chain"
	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// chat makes records of several kinds: messages of two users, silent ones aside, and READs.
func chat(n *node) {
	n.t.Helper()
	n.batch(1, 1, 2, 1, "one", "two", "three")
	n.send(2, 1, 1, 1, "four", "five")
	n.read(1, 2, 4)
	n.batch(1, 2, 3, 1, "to another")
	n.batch(1, 1, 2, 4, "six")
	n.read(2, 1, 2)
	n.batch(2, 1, 1, 3, "seven", "eight")
}

// all gives what a store has of a node's conversations.
func all(t *testing.T, s *Store, queues int) (list []Whole) {
	t.Helper()
	for i := range queues {
		which := Rebuild{Queue: chain.Queue{Class: chain.Chat, Number: i}, Queues: queues, Kinds: []protocol.Kind{protocol.KindDirect, protocol.KindSystem}}
		if err := s.Rebuild(t.Context(), which, func(batch []Whole, _ Progress) error {
			list = append(list, batch...)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// same checks that two stores give the same.
func same(t *testing.T, got, want []Whole) {
	t.Helper()
	if len(got) != len(want) || len(want) == 0 {
		t.Fatalf("%d conversations, want %d", len(got), len(want))
	}
	for i := range want {
		if !reflect.DeepEqual(got[i].Loaded, want[i].Loaded) || string(got[i].Last) != string(want[i].Last) || len(want[i].Last) == 0 {
			t.Errorf("conversation %d is\n%+v %q, want\n%+v %q", i, *got[i].Loaded, got[i].Last, *want[i].Loaded, want[i].Last)
		}
	}
}

// count gives how many rows a table has; merges may have removed doubles or not.
func count(t *testing.T, s *Store, table string) (n uint64) {
	t.Helper()
	if err := s.conn.QueryRow(t.Context(), "SELECT count() FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// What is fed twice, here by an owner who does not know the mark of the first, is there
// once for those who read.
func TestFedTwice(t *testing.T) {
	n := clickHouseNode(t, 2)
	chat(n)
	n.flush()
	once, rows := all(t, n.store, 2), count(t, n.store, "messages")
	for range 2 {
		again := newBlock()
		for _, q := range n.queues {
			for _, fed := range q.records {
				if refused := again.add(fed); refused != 0 {
					t.Fatal("messages are refused")
				}
			}
		}
		if err := n.store.insertRows(t.Context(), again); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, n.store, "messages"); n <= rows {
		t.Fatalf("%d rows after %d: nothing is there twice, so this test says nothing", n, rows)
	}
	same(t, all(t, n.store, 2), once)
	p := n.want(logic.Page{Conversation: direct(1, 2)}, 1, 8, 8)
	n.want(logic.Page{Conversation: direct(1, 2), Backward: true, Limit: 3}, 6, 8, 3)
	n.want(logic.Page{Conversation: direct(1, 2), From: 2, To: 6, Limit: 4}, 2, 5, 4)
	if got := seqsOf(t, p); got[7] != 8 {
		t.Errorf("the seqs are %v", got)
	}
	for _, c := range []Count{{User: 1, Seq: 8, Count: 8, Own: 4}, {User: 2, Seq: 3, Count: 3, Own: 0}} {
		wantCount(t, n.reader, c)
	}
	wantWalk(t, n.reader, &ledger.Walk{Key: direct(1, 2), User: 1, Device: 1, From: 6}, []uint64{6, 3, 2, 1})
}

// Two nodes that feed the same queue, one of them from what it reads in the queue, leave
// what one leaves; and the one that began later goes on from the mark of the other.
func TestTwoNodes(t *testing.T) {
	store := ownClickHouse(t)
	first := newNode(t, store, 1, FeederOptions{Every: manual}, nil)
	chat(first)
	first.flush()
	want := all(t, store, 1)

	second := newNode(t, store, 1, FeederOptions{Every: manual}, first)
	if at, _ := second.feeder.Taken(second.queues[0].name); at != first.queues[0].records[len(first.queues[0].records)-1].Mark {
		t.Fatalf("the second node begins at %v", at)
	}
	// The first one did not notice that it lost the queue, and both write what follows.
	second.batch(1, 1, 2, 5, "nine")
	first.queues[0].records = second.queues[0].records
	first.catchUp()
	for range 3 {
		second.flush()
		first.flush()
	}
	got := all(t, store, 1)
	isBusy := func(w Whole) bool { return w.Key == direct(1, 2) }
	i := slices.IndexFunc(got, isBusy)
	if len(got) != len(want) || i < 0 || got[i].Head != 9 || got[i].Count != 9 {
		t.Fatalf("the conversations are %+v", got)
	}
	same(t, slices.DeleteFunc(got, isBusy), slices.DeleteFunc(want, isBusy))
	second.want(logic.Page{Conversation: direct(1, 2)}, 1, 9, 9)
}

// A record that was read again from the queue gives what it gave when it was new.
func TestFedFromTheQueue(t *testing.T) {
	n := clickHouseNode(t, 2)
	chat(n)
	n.flush()
	want := all(t, n.store, 2)
	states := make(map[protocol.Conversation]*ledger.Loaded)
	for _, w := range want {
		states[w.Key] = w.Loaded
	}

	other := newNode(t, ownClickHouse(t), 2, FeederOptions{Every: manual}, n)
	for _, q := range n.queues {
		for _, fed := range q.records {
			again := *fed
			again.Change = nil
			again.Record.Blob = append([]byte(nil), again.Record.Blob...)
			for _, c := range fed.Change.Conversations {
				again.States = append(again.States, states[c.Key])
			}
			if at, taken := other.feeder.Add(&again); !taken {
				t.Fatalf("offset %d is not taken behind %v", fed.Mark.Offset, at)
			}
		}
	}
	other.flush()
	same(t, all(t, other.store, 2), want)
	got, whole := other.want(logic.Page{Conversation: direct(1, 2)}, 1, 8, 8), n.want(logic.Page{Conversation: direct(1, 2)}, 1, 8, 8)
	if string(got.Items) != string(whole.Items) {
		t.Error("the page is another one")
	}
	wantCount(t, other.reader, Count{User: 1, Seq: 7, Count: 7, Own: 4})
	wantWalk(t, other.reader, &ledger.Walk{Key: direct(1, 2), User: 1, Device: 1, From: 6}, []uint64{6, 3, 2, 1})
	wantWalk(t, other.reader, &ledger.Walk{Key: direct(1, 2), User: 2, Device: 1, From: 8}, []uint64{8, 7, 5, 4})
}

// A record that does not follow the last one is refused, and the owner told where to go on;
// the oldest one of a queue that has lost what was before it is taken.
func TestRecordsFollowEachOther(t *testing.T) {
	n := clickHouseNode(t, 1)
	name := n.queues[0].name
	fed := func(prev, at int64) *Fed {
		mark := func(offset int64) chain.Mark {
			if offset < 0 {
				return chain.Beginning
			}
			return chain.Mark{Offset: offset, Writer: 7}
		}
		return &Fed{Queue: name, Prev: mark(prev), Mark: mark(at), Version: uint64(at) + 1}
	}
	oldest := func(f *Fed) *Fed { f.Oldest = true; return f }
	for i, c := range []struct {
		fed   *Fed
		at    int64
		taken bool
	}{
		{fed(4, 5), -1, false},
		{fed(-1, 0), 0, true},
		{fed(-1, 0), 0, false},
		{fed(0, 3), 3, true},
		{fed(7, 8), 3, false},
		{oldest(fed(7, 8)), 8, true},
		{oldest(fed(5, 6)), 8, false},
		{fed(8, 9), 9, true},
	} {
		if at, taken := n.feeder.Add(c.fed); at.Offset != c.at || taken != c.taken {
			t.Errorf("%d: at %v, taken: %v", i, at, taken)
		}
	}
	if gaps := n.store.Vars()["gaps"]; gaps != 1 {
		t.Errorf("%d gaps are counted", gaps)
	}
	n.flush()
	if mark, err := n.store.Mark(t.Context(), name); err != nil || mark.Offset != 9 {
		t.Errorf("the mark is %v, %v", mark, err)
	}
	n.feeder.Leave(name)
	if _, taken := n.feeder.Add(fed(9, 10)); taken {
		t.Error("a record of a queue that was left is taken")
	}
}
