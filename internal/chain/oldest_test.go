package chain_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"gannet/internal/chain"
	"gannet/internal/chain/chaintest"
)

// TestOldest: wherever the broker's retention has come to, the oldest record that counts is
// found, among records of writers that had lost the queue.
func TestOldest(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	m, queue := chaintest.NewMemory(), chain.Queue{Class: chain.Chat}
	f := chain.NewFollower(queue, chain.Beginning)
	known := []chain.Mark{chain.Beginning}
	var counting []int64
	const records = 200
	for number := uint64(1); number <= records; number++ {
		head := chain.Head{Kind: chain.Entries, Queue: queue, Prev: known[len(known)-1], Writer: 1, Number: number, Time: 1}
		if rng.IntN(3) == 0 { // who has missed some
			head.Prev, head.Writer = known[max(len(known)-1-rng.IntN(70), 0)], 2
		}
		body := head.Append(nil, []byte("entries"))
		offset, err := m.Append(t.Context(), queue, body)
		if err != nil {
			t.Fatal(err)
		}
		_, why, err := f.Feed(offset, body)
		if err != nil {
			t.Fatal(err)
		}
		if why == chain.Counts {
			known, counting = append(known, f.Last()), append(counting, offset)
		}
	}
	last := f.Last()
	if len(counting) > records*9/10 || len(counting) < records/3 {
		t.Fatalf("of %d records %d count", records, len(counting))
	}
	for first := range int64(records) {
		m.Age(queue, first)
		oldest, err := chain.Oldest(t.Context(), m, queue, last)
		if first > last.Offset {
			if !errors.Is(err, chain.ErrRetention) {
				t.Fatalf("from offset %d on nothing counts, and the oldest is %v, %v", first, oldest.Mark, err)
			}
			continue
		}
		for counting[0] < first {
			counting = counting[1:]
		}
		if err != nil || oldest.Mark.Offset != counting[0] || string(oldest.Body) != "entries" {
			t.Fatalf("from offset %d on the oldest is %v, %v; want offset %d", first, oldest.Mark, err, counting[0])
		}
	}
}

// mute is a stream that has records and gives none.
type mute struct{ *chaintest.Memory }

func (mute) Pull(context.Context, chain.Queue, int64, int) ([]chain.Stored, error) { return nil, nil }

// TestOldestOfABrokerThatGivesNothing: it ends with an error, in place of asking for ever.
func TestOldestOfABrokerThatGivesNothing(t *testing.T) {
	m, queue := chaintest.NewMemory(), chain.Queue{Class: chain.Chat}
	var last chain.Mark
	prev := chain.Beginning
	for number := uint64(1); number <= 3; number++ {
		head := chain.Head{Kind: chain.Entries, Queue: queue, Prev: prev, Writer: 1, Number: number, Time: 1}
		offset, err := m.Append(t.Context(), queue, head.Append(nil, []byte("entries")))
		if err != nil {
			t.Fatal(err)
		}
		last = chain.Mark{Offset: offset, Writer: 1, Number: number}
		prev = last
	}
	if _, err := chain.Oldest(t.Context(), mute{m}, queue, last); !errors.Is(err, chain.ErrLagging) {
		t.Errorf("it gives %v", err)
	}
}
