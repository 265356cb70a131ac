package conformance

import (
	"bytes"
	"context"
	"fmt"
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
		{"conversations of one partition do not touch each other", conversationsApart},
		{"every partition has its own", partitionsApart},
		{"concurrent batches of one lane", concurrentBatches},
		{"times never fall", timesNeverFall},
		{"the record has the applied frames in order", recordHasApplied},
		{"nothing is published when nothing was applied", nothingApplied},
		{"a retry in the same batch", retryInBatch},
		{"a retry in a later batch", retryLater},
		{"a retry after a restart", retryAfterReopen},
		{"a client id below one that was accepted", outOfOrder},
		{"a whole window in the wrong order", windowOutOfOrder},
		{"devices have client ids of their own", devicesApart},
		{"a retry at the end of the window", windowEnd},
		{"a retry past the window gets no second seq", pastWindow},
	})
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
		for _, e := range w.append(b) {
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
	w.wantSeqs(w.read(direct(7, 7), 1, 9, false), 1, 2)
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
				if err := w.Log.Append(context.Background(), w.lane(direct(1, 2)), &b.Batch); err != nil {
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
	if got := len(w.read(direct(1, 2), 1, ^uint64(0)-1, false)); got != writers*rounds*size || len(owner) != got {
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
}

func recordHasApplied(w *world) {
	first := w.send(1, 1, 2, 1)
	e := w.append(new(batch).
		send(1, 1, 2, 1, "hello").   // repeated
		send(2, 1, 1, 5, "second").  // applied
		cursor(1, 1, 2, 9, 1).       // applied: delivered 2; read 1 is there already
		send(1, 1, 2, 2, "third").   // applied
		send(2, 1, 1, 5, "second").  // repeated
		cursor(1, 2, 2, 1, 1).       // nothing rises
		cursor(2, 1, 1, 0, 3).       // applied
		send(2, 1, 1, 6, "fourth.")) // applied
	w.wantRepeated(e[0], first)
	w.wantNew(e[1], 2)
	w.wantNew(e[3], 3)
	w.wantRepeated(e[4], e[1])
	w.wantNew(e[7], 4)

	records := w.Records(w.lane(direct(1, 2)))
	if len(records) != 2 {
		w.t.Fatalf("%d records, want one for each batch", len(records))
	}
	w.wantRecord(records[1],
		protocol.Message{Target: to(1), Seq: 2, Time: startTime, Sender: 2, Device: 1, ClientID: 5, Content: protocol.ContentText, Body: []byte("second")}.AppendFrame(nil),
		protocol.Receipt{Target: to(2), Delivered: 2, Read: 1, User: 1, Device: 1}.AppendFrame(nil),
		protocol.Message{Target: to(2), Seq: 3, Time: startTime, Sender: 1, Device: 1, ClientID: 2, Content: protocol.ContentText, Body: []byte("third")}.AppendFrame(nil),
		protocol.Receipt{Target: to(1), Delivered: 3, Read: 3, User: 2, Device: 1}.AppendFrame(nil),
		protocol.Message{Target: to(1), Seq: 4, Time: startTime, Sender: 2, Device: 1, ClientID: 6, Content: protocol.ContentText, Body: []byte("fourth.")}.AppendFrame(nil))
}

func (w *world) wantRecord(record []byte, frames ...[]byte) {
	w.t.Helper()
	for i, want := range frames {
		_, n, err := protocol.Split(record, protocol.MaxFrame)
		if err != nil || !bytes.Equal(record[:n], want) {
			w.t.Fatalf("frame %d is\n%x (%v), want\n%x", i, record[:n], err, want)
		}
		record = record[n:]
	}
	if len(record) != 0 {
		w.t.Fatalf("the record goes on after its %d frames: %x", len(frames), record)
	}
}

func nothingApplied(w *world) {
	first := w.send(1, 1, 2, 1)
	e := w.append(new(batch).send(1, 1, 2, 1, "hello").cursor(1, 1, 2, 5, 5).cursor(3, 1, 4, 5, 5))
	w.wantRepeated(e[0], first)
	total := 0
	for lane := range w.Lanes {
		total += len(w.Records(lane))
	}
	if total != 1 {
		w.t.Fatalf("%d records, want that of the first batch alone", total)
	}
}

func retryInBatch(w *world) {
	e := w.append(new(batch).
		send(1, 1, 2, 1, "one").send(1, 1, 2, 2, "two").send(1, 1, 2, 1, "one").send(1, 1, 2, 3, "three").send(1, 1, 2, 2, "two"))
	w.wantNew(e[0], 1)
	w.wantNew(e[1], 2)
	w.wantRepeated(e[2], e[0])
	w.wantNew(e[3], 3)
	w.wantRepeated(e[4], e[1])
	w.wantHead(direct(1, 2), 3)
}

func retryLater(w *world) {
	var first []logic.Entry
	for id := range uint64(20) {
		first = append(first, w.send(1, 1, 2, id+1))
		w.send(2, 1, 1, id+1)
		w.clock.Add(1000)
	}
	for _, e := range first { // in rising order, as after a reconnect
		w.wantRepeated(w.send(1, 1, 2, e.ClientID), e)
	}
	w.wantNew(w.send(1, 1, 2, 21), 41)
	w.wantRepeated(w.send(1, 1, 2, 3), first[2])
}

func retryAfterReopen(w *world) {
	b := new(batch)
	for id := range uint64(10) {
		b.send(1, 1, 2, 10*(id+1), fmt.Sprint(id))
	}
	first := w.append(b)
	w.clock.Add(1000)
	w.reopen()
	for _, e := range first {
		w.wantRepeated(w.send(1, 1, 2, e.ClientID), e)
	}
	w.wantNew(w.send(1, 1, 2, 55), 11) // between two known ones, yet new
	w.reopen()
	w.wantRepeated(w.send(1, 1, 2, 100), first[9])
	w.wantHead(direct(1, 2), 11)
}

func outOfOrder(w *world) {
	w.wantNew(w.send(1, 1, 2, 4), 1)
	six := w.send(1, 1, 2, 6) // 5 was rejected for overload
	w.wantNew(six, 2)
	five := w.send(1, 1, 2, 5)
	w.wantNew(five, 3)
	w.wantRepeated(w.send(1, 1, 2, 5), five)
	w.wantRepeated(w.send(1, 1, 2, 6), six)
	w.wantNew(w.send(1, 1, 2, 7), 4)
	w.reopen()
	w.wantRepeated(w.send(1, 1, 2, 5), five)
	w.wantRepeated(w.send(1, 1, 2, 6), six)
}

// windowOutOfOrder has all messages of a window but the last rejected at first,
// and then everything sent anew, twice.
func windowOutOfOrder(w *world) {
	const last = protocol.MaxUnacked
	firsts := map[uint64]logic.Entry{last: w.send(1, 1, 2, last)}
	for try := range 2 {
		for id := uint64(1); id <= last; {
			b := new(batch)
			for ; id <= last && len(b.Entries) < 100; id++ {
				b.send(1, 1, 2, id, "hello")
			}
			for _, e := range w.append(b) {
				if first, known := firsts[e.ClientID]; known {
					w.wantRepeated(e, first)
				} else {
					w.wantNew(e, e.ClientID+1)
					firsts[e.ClientID] = e
				}
			}
		}
		if try == 0 {
			w.reopen()
		}
	}
	w.wantHead(direct(1, 2), last)
}

func devicesApart(w *world) {
	w.wantNew(w.send(1, 1, 2, 9), 1)
	w.wantNew(w.send(1, 2, 2, 9), 2)
	w.wantNew(w.send(2, 1, 1, 9), 3)
	w.wantNew(w.send(1, 1, 3, 9), 1) // nor do conversations share them
}

// fill sends n messages of the device with rising ids from the first on.
func (w *world) fill(user, device, peer, id uint64, n int) {
	w.t.Helper()
	for n > 0 {
		b := new(batch)
		for range min(n, 200) {
			b.send(user, device, peer, id, "hello")
			id++
		}
		for _, e := range w.append(b) {
			if e.Outcome != logic.Applied {
				w.t.Fatalf("client id %d: outcome %d", e.ClientID, e.Outcome)
			}
		}
		n -= len(b.Entries)
	}
}

func windowEnd(w *world) {
	first := w.send(1, 1, 2, 1)
	w.clock.Add(24 * 3600 * 1000)
	w.fill(1, 1, 2, 2, protocol.MaxUnacked-1)
	w.fill(1, 2, 2, 1, 300) // other devices do not count
	w.wantRepeated(w.send(1, 1, 2, 1), first)
	w.reopen()
	w.wantRepeated(w.send(1, 1, 2, 1), first)
}

func pastWindow(w *world) {
	first := w.send(1, 1, 2, 1)
	w.fill(1, 1, 2, 2, protocol.MaxUnacked)
	if e := w.send(1, 1, 2, 1); e.Outcome != logic.Stale {
		w.wantRepeated(e, first)
	}
	w.wantHead(direct(1, 2), protocol.MaxUnacked+1)
}
