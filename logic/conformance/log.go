package conformance

import (
	"sync"
	"testing"

	"gannet/logic"
	"gannet/protocol"
)

// Log holds an adapter of logic.Log to its guarantees.
func Log(t *testing.T, open Open) {
	runAll(t, open, []run{
		{"seqs of a conversation begin at 1 and rise by 1", seqsRise},
		{"both users share one sequence", usersShareSequence},
		{"a user talks to itself", selfConversation},
		{"the server speaks", serverSpeaks},
		{"conversations of one partition do not touch each other", conversationsApart},
		{"every partition has its own", partitionsApart},
		{"concurrent batches of one queue", concurrentBatches},
		{"times never fall", timesNeverFall},
	}, retryStories, queueStories, recordStories, ackStories, readStories)
}

func seqsRise(w *world) {
	next := map[uint64]uint64{}
	peers := neighbours(3)
	id := uint64(0)
	for round := range 4 {
		b := new(batch)
		for i := range 7 {
			id++
			b.send(1, 1, peers[(round+i)%3], id, "hello")
		}
		for _, e := range w.apply(b) {
			next[e.Conversation.B]++
			w.wantNew(e, next[e.Conversation.B])
		}
		w.reopen()
	}
	for _, peer := range peers {
		w.wantHead(direct(1, peer), next[peer])
	}
}

func usersShareSequence(w *world) {
	w.wantNew(w.send(1, 1, 2, 1), 1)
	w.wantNew(w.send(2, 1, 1, 1), 2)
	w.wantNew(w.send(1, 1, 2, 2), 3)
}

func selfConversation(w *world) {
	w.wantNew(w.send(7, 1, 7, 1), 1)
	w.wantNew(w.send(7, 2, 7, 1), 2)
	w.wantSeqs(w.messages(direct(7, 7)), 1, 2)
}

func serverSpeaks(w *world) {
	b := new(batch).announce(7, 1).announce(7, 2)
	w.apply(b)
	w.wantNew(b.Entries[0], 1)
	w.wantNew(b.Entries[1], 2)
	w.reopen()
	again := w.apply(new(batch).announce(7, 2).announce(7, 3))
	w.wantRepeated(again[0], b.Entries[1])
	w.wantNew(again[1], 3)
	w.wantSeqs(w.messages(system(7)), 1, 2, 3)
	w.wantHead(system(8), 0)
}

func conversationsApart(w *world) {
	for _, peer := range neighbours(5) {
		w.wantNew(w.send(1, 1, peer, 1), 1)
		w.wantNew(w.send(peer, 1, 1, 1), 2)
	}
}

func partitionsApart(w *world) {
	seen := map[int]bool{}
	for peer := uint64(2); len(seen) < protocol.Partitions; peer++ {
		if p := direct(1, peer).Partition(); !seen[p] {
			seen[p] = true
			w.wantNew(w.send(1, 1, peer, 1), 1)
		}
	}
}

func concurrentBatches(w *world) {
	const writers, rounds, size = 8, 10, 5
	results := make([][]logic.Entry, writers)
	var wg sync.WaitGroup
	for n := range writers {
		wg.Go(func() {
			for round := range rounds {
				b := new(batch)
				for i := range size {
					b.send(1, uint64(n+1), 2, uint64(round*size+i+1), "hello")
				}
				if err := w.try(w.t.Context(), b); err != nil {
					w.t.Errorf("writer %d: %v", n, err)
					return
				}
				results[n] = append(results[n], b.Entries...)
			}
		})
	}
	wg.Wait()
	owner := map[uint64]int{}
	for n, entries := range results {
		last := uint64(0)
		for _, e := range entries {
			if _, taken := owner[e.Seq]; taken || e.Seq <= last {
				w.t.Fatalf("writer %d: seq %d after %d, or given out twice", n, e.Seq, last)
			}
			owner[e.Seq], last = n, e.Seq
		}
	}
	w.wantHead(direct(1, 2), writers*rounds*size)
	if got := len(w.messages(direct(1, 2))); got != writers*rounds*size || len(owner) != got {
		w.t.Fatalf("%d messages and %d seqs, want %d", got, len(owner), writers*rounds*size)
	}
}

func timesNeverFall(w *world) {
	first := w.send(1, 1, 2, 1)
	if first.Time != startTime {
		w.t.Fatalf("the time is %d, want that of the clock, %d", first.Time, startTime)
	}
	w.clock.Add(-60_000)
	if e := w.send(1, 1, 2, 2); e.Time < first.Time {
		w.t.Fatalf("after the clock was set back the time is %d, before it was %d", e.Time, first.Time)
	}
	w.reopen()
	if e := w.send(2, 1, 1, 1); e.Time < first.Time {
		w.t.Fatalf("after a restart the time is %d, before it was %d", e.Time, first.Time)
	}
	w.clock.Add(120_000)
	if e := w.send(2, 1, 1, 2); e.Time != startTime+60_000 {
		w.t.Fatalf("the time is %d, want that of the clock, %d", e.Time, startTime+60_000)
	}
	times := w.messages(direct(1, 2))
	for i, m := range times[1:] {
		if m.Time < times[i].Time {
			w.t.Fatalf("seq %d has time %d, the one before it %d", m.Seq, m.Time, times[i].Time)
		}
	}
}
