//go:build cluster

package history

import (
	"context"
	"errors"
	"slices"
	"testing"

	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// wantCount checks the counts of a cursor in the conversation of users 1 and 2.
func wantCount(t *testing.T, r *Reader, want Count) {
	t.Helper()
	got := Count{Conversation: direct(1, 2), User: want.User, Seq: want.Seq, Count: 99, Own: 99}
	if err := r.CountsAsOf(t.Context(), []*Count{&got}); err != nil {
		t.Fatal(err)
	}
	if got.Err != nil || got.Bounds != want.Bounds || got.Count != want.Count || got.Own != want.Own {
		t.Errorf("up to %d there are %+v; want %+v", want.Seq, got, want)
	}
}

// wantWalk checks which messages a walk visits.
func wantWalk(t *testing.T, r *Reader, w *ledger.Walk, want []uint64) {
	t.Helper()
	var got []uint64
	w.Visit = func(id, seq, time, previous uint64) bool {
		got = append(got, seq)
		if i := len(got); i < len(want) && previous != want[i] || i == len(want) && previous != 0 || time == 0 || id == 0 {
			t.Errorf("seq %d is visited with id %d, time %d, and %d before it", seq, id, time, previous)
		}
		return true
	}
	if err := r.Walk(t.Context(), []*ledger.Walk{w}); err != nil {
		t.Fatal(err)
	}
	if w.Err != nil || !slices.Equal(got, want) {
		t.Errorf("the walk of %d/%d visits %v, %v; want %v", w.User, w.Device, got, w.Err, want)
	}
}

// The counts as of every cursor are those of the newest message at or below it, whatever
// of the conversation is in memory.
func TestCountsAsOf(t *testing.T) {
	for _, keep := range []int{0, 1, 4, 100} {
		n := clickHouseNode(t, 1)
		n.keep = keep
		chat(n)
		own := func(user, seq uint64) (n uint64) {
			for i, sender := range []uint64{1, 1, 1, 2, 2, 1, 2, 2} {
				if sender == user && uint64(i) < seq {
					n++
				}
			}
			return n
		}
		n.flush()
		var asks []*Count
		for seq := uint64(0); seq <= 8; seq++ {
			for user := uint64(1); user <= 3; user++ {
				asks = append(asks, &Count{Conversation: direct(1, 2), User: user, Seq: seq})
			}
		}
		before := n.store.Vars()["queries"]
		if err := n.reader.CountsAsOf(t.Context(), asks); err != nil {
			t.Fatal(err)
		}
		for _, c := range asks {
			if c.Err != nil || c.Count != c.Seq || c.Own != own(c.User, c.Seq) {
				t.Errorf("keep %d: up to %d there are %d, %d of them by %d, %v", keep, c.Seq, c.Count, c.Own, c.User, c.Err)
			}
		}
		if asked := n.store.Vars()["queries"] - before; asked > 3 || keep > 8 && asked > 0 {
			t.Errorf("keep %d: %d queries", keep, asked)
		}
	}
}

// elsewhere is the Tail of a node that owns nothing.
type elsewhere struct{}

func (elsewhere) Recent(context.Context, protocol.Conversation, uint64, uint64) (Recent, error) {
	return Recent{}, errors.New("the queue is not this node's")
}

// A node that does not own a conversation counts all the same, for a SYNC goes to any: by
// what the history has, and not by what it does not have yet.
func TestCountsOfConversationsElsewhere(t *testing.T) {
	n := clickHouseNode(t, 1)
	chat(n)
	r := NewReader(n.store, elsewhere{})
	wantCount(t, r, Count{User: 1, Seq: 8, Own: unbound, Bounds: true}) // it is not there yet
	n.flush()
	for seq := uint64(1); seq <= 8; seq++ {
		for user := uint64(1); user <= 3; user++ {
			here := &Count{Conversation: direct(1, 2), User: user, Seq: seq}
			if err := n.reader.CountsAsOf(t.Context(), []*Count{here}); err != nil || here.Err != nil {
				t.Fatal(err, here.Err)
			}
			wantCount(t, r, *here)
		}
	}
}

// Silent messages do not count, holes do no harm, and what is not known to be complete is
// counted as what the messages above it say that it is at most.
func TestCountsAreProved(t *testing.T) {
	store := ownClickHouse(t)
	whole := []written{
		{seq: 1, before: 0, sender: 1, device: 1, n: 1, own: 1},
		{seq: 2, before: 1, sender: 2, device: 1, n: 1, own: 0}, // silent
		{seq: 5, before: 2, sender: 2, device: 1, n: 2, own: 1}, // behind a hole
		{seq: 6, before: 5, sender: 2, device: 1, n: 3, own: 2},
		{seq: 7, before: 6, sender: 1, device: 1, n: 4, own: 2},
		{seq: 8, before: 7, sender: 2, device: 1, n: 5, own: 3},
	}
	r := talk(t, store, append(slices.Clone(whole[:3]), whole[5])...)
	wantCount(t, r, Count{User: 1, Seq: 4, Count: 1, Own: 1})
	wantCount(t, r, Count{User: 1, Seq: 5, Count: 2, Own: 1})
	wantCount(t, r, Count{User: 2, Seq: 4, Count: 1, Own: 0})
	wantCount(t, r, Count{User: 2, Seq: 8, Count: 5, Own: 3})
	wantCount(t, r, Count{User: 1, Seq: 8, Count: 5, Own: unbound, Bounds: true})
	wantCount(t, r, Count{User: 1, Seq: 6, Count: 3, Own: unbound, Bounds: true})
	wantCount(t, r, Count{User: 2, Seq: 7, Count: 4, Own: 2, Bounds: true})
	r = talk(t, store, whole[3:]...)
	wantCount(t, r, Count{User: 1, Seq: 8, Count: 5, Own: 2})
	wantCount(t, r, Count{User: 1, Seq: 6, Count: 3, Own: 1})
	wantCount(t, r, Count{User: 2, Seq: 7, Count: 4, Own: 2})
	wantCount(t, r, Count{User: 3, Seq: 8, Count: 5, Own: 0})
}

// memory is the Tail of a node that has messages of the conversation in memory.
type memory []written

func (m memory) Recent(_ context.Context, _ protocol.Conversation, from, to uint64) (r Recent, err error) {
	r = Recent{Head: m[len(m)-1].seq, First: m[0].seq, Before: m[0].before}
	for _, w := range m {
		if w.seq >= from && w.seq <= to {
			k := Kept{Seq: w.seq, N: w.n, Own: w.own}
			k.Payload = protocol.Message{Target: protocol.Target{Kind: protocol.KindDirect, ID: 3 - w.sender}, Seq: w.seq, Sender: w.sender, Device: 1, ClientID: w.seq}.AppendPayload(nil)
			r.Messages = append(r.Messages, k)
		}
	}
	return r, nil
}

// Where messages are lost, what is in memory above them bounds what they count.
func TestCountsAreBoundByMemory(t *testing.T) {
	store := ownClickHouse(t)
	talk(t, store, written{seq: 1, before: 0, sender: 1, device: 1, n: 1, own: 1})
	r := NewReader(store, memory{
		{seq: 8, before: 7, sender: 2, n: 8, own: 3}, {seq: 9, before: 8, sender: 1, n: 9, own: 6}, {seq: 10, before: 9, sender: 2, n: 9, own: 3},
	})
	wantCount(t, r, Count{User: 1, Seq: 5, Count: 5, Own: 5, Bounds: true})
	wantCount(t, r, Count{User: 2, Seq: 5, Count: 5, Own: 3, Bounds: true}) // the first one there may be silent
	wantCount(t, r, Count{User: 3, Seq: 7, Count: 7, Own: unbound, Bounds: true})
	wantCount(t, r, Count{User: 1, Seq: 9, Count: 9, Own: 6})
}

// A walk visits all messages of a device, wherever they are, and no others.
func TestWalk(t *testing.T) {
	for _, keep := range []int{0, 2, 100} {
		n := clickHouseNode(t, 1)
		n.keep = keep
		chat(n)
		n.batch(1, 9, 2, 1, "by another device")
		n.flush()
		for range 2 {
			wantWalk(t, n.reader, &ledger.Walk{Key: direct(1, 2), User: 1, Device: 1, From: 6}, []uint64{6, 3, 2, 1})
		}
		wantWalk(t, n.reader, &ledger.Walk{Key: direct(1, 2), User: 1, Device: 1, From: 2}, []uint64{2, 1})
		wantWalk(t, n.reader, &ledger.Walk{Key: direct(1, 2), User: 1, Device: 9, From: 9}, []uint64{9})
		wantWalk(t, n.reader, &ledger.Walk{Key: direct(1, 2), User: 2, Device: 1, From: 8}, []uint64{8, 7, 5, 4})
		wantWalk(t, n.reader, &ledger.Walk{Key: direct(1, 3), User: 1, Device: 2, From: 1}, []uint64{1})

		// One that is stopped goes no further.
		visited := 0
		w := &ledger.Walk{Key: direct(1, 2), User: 1, Device: 1, From: 6, Visit: func(_, _, _, _ uint64) bool { visited++; return visited < 2 }}
		if err := n.reader.Walk(t.Context(), []*ledger.Walk{w}); err != nil || w.Err != nil || visited != 2 {
			t.Errorf("a walk that is stopped visits %d, %v, %v", visited, err, w.Err)
		}
	}
}

// A walk passes long stretches in a few queries, and notices a message that is missing.
func TestWalkFar(t *testing.T) {
	store := ownClickHouse(t)
	const far = 1_000_000
	list := []written{
		{seq: 1, before: 0, sender: 1, device: 1, n: 1, own: 1},
		{seq: 2, before: 1, sender: 1, device: 1, previous: 1, n: 2, own: 2},
		{seq: far, before: far - 1, sender: 1, device: 1, previous: 2, n: far, own: 3},
	}
	r := talk(t, store, list...)
	before := store.Vars()["queries"]
	wantWalk(t, r, &ledger.Walk{Key: direct(1, 2), User: 1, Device: 1, From: far}, []uint64{far, 2, 1})
	if asked := store.Vars()["queries"] - before; asked > 3 {
		t.Errorf("%d queries", asked)
	}

	r = talk(t, store, written{seq: far + 2, before: far + 1, sender: 1, device: 1, previous: far + 1, n: far + 2, own: 5})
	var got []uint64
	w := &ledger.Walk{Key: direct(1, 2), User: 1, Device: 1, From: far + 2, Visit: func(_, seq, _, _ uint64) bool { got = append(got, seq); return true }}
	if err := r.Walk(t.Context(), []*ledger.Walk{w}); err != nil || !errors.Is(w.Err, logic.ErrUnavailable) || !slices.Equal(got, []uint64{far + 2}) {
		t.Errorf("a walk over a missing message visits %v, %v, %v", got, err, w.Err)
	}
}

// Retries are known by what is read back: the ledger of an owner that has nothing in memory
// answers with the first seq.
func TestRetriesAreKnown(t *testing.T) {
	store := ownClickHouse(t)
	first := newNode(t, store, 1, FeederOptions{Every: manual}, nil)
	sent := first.batch(1, 1, 2, 1, repeat(20, "x")...)
	first.flush()
	second := newNode(t, store, 1, FeederOptions{Every: manual}, first)
	for _, i := range []int{19, 0, 7} {
		b := second.message(1, 1, 2, uint64(i)+1, "x")
		eventually(t, "the retry is judged", func() bool {
			for second.queues[0].ledger.Recall(t.Context()) {
			}
			if err := second.Apply(t.Context(), []*logic.Batch{b}); err != nil || b.Err != nil {
				t.Fatalf("Apply: %v, %v", err, b.Err)
			}
			return b.Entries[0].Outcome != logic.Refused
		})
		if e := b.Entries[0]; e.Outcome != logic.Repeated || e.Seq != sent[i].Seq || e.Time != sent[i].Time {
			t.Errorf("the retry of %d is %+v", i+1, e)
		}
	}
	if second.page(logic.Page{Conversation: direct(1, 2)}).Head != 20 {
		t.Error("a retry got a seq of its own")
	}
	var none protocol.Conversation
	l := &ledger.Loaded{Key: direct(1, 99)}
	if err := second.reader.Load(t.Context(), []*ledger.Loaded{l}); err != nil || l.Err != nil || l.Head != 0 || l.Key == none {
		t.Errorf("a conversation that nobody wrote to is %+v, %v", l, err)
	}
}
