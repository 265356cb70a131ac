package conformance

import (
	"context"
	"testing"

	"gannet/protocol"
)

// History holds an adapter of logic.History to its guarantees.
func History(t *testing.T, open Open) {
	runAll(t, open, []run{
		{"an empty conversation", emptyHistory},
		{"ranges in both directions", readRanges},
		{"a visit that stops", readStops},
		{"messages come back as they were sent", readContent},
		{"neighbours do not leak into each other", readApart},
	})
}

func emptyHistory(w *world) {
	w.wantHead(direct(1, 2), 0)
	w.wantSeqs(w.read(direct(1, 2), 1, 100, false))
	w.wantSeqs(w.read(direct(1, 2), 1, 100, true))
}

func readRanges(w *world) {
	c := direct(1, 2)
	w.fill(1, 1, 2, 1, 10)
	for range 2 {
		w.wantHead(c, 10)
		w.wantSeqs(w.read(c, 1, 3, false), 1, 2, 3)
		w.wantSeqs(w.read(c, 1, 3, true), 3, 2, 1)
		w.wantSeqs(w.read(c, 9, 100, false), 9, 10)
		w.wantSeqs(w.read(c, 9, ^uint64(0), true), 10, 9)
		w.wantSeqs(w.read(c, 0, 2, false), 1, 2)
		w.wantSeqs(w.read(c, 5, 5, true), 5)
		w.wantSeqs(w.read(c, 6, 5, false))
		w.wantSeqs(w.read(c, 11, 20, false))
		w.reopen()
	}
}

func readStops(w *world) {
	w.fill(1, 1, 2, 1, 10)
	for _, descending := range []bool{false, true} {
		visits := 0
		err := w.History.Read(context.Background(), direct(1, 2), 1, 10, descending, func(uint64, []byte) bool {
			visits++
			return visits < 4
		})
		if err != nil || visits != 4 {
			w.t.Fatalf("descending %v: %d visits, %v; want 4", descending, visits, err)
		}
	}
}

func readContent(w *world) {
	body := string(make([]byte, protocol.MaxBody))
	sent := w.append(new(batch).send(2, 3, 1, 77, body).send(1, 4, 2, 1, ""))
	w.reopen()
	found := w.read(direct(1, 2), 1, 2, false)
	w.wantSeqs(found, 1, 2)
	for i, m := range found {
		e := sent[i]
		if m.Target != to(3-e.User) || m.Sender != e.User || m.Device != e.Device || m.ClientID != e.ClientID ||
			m.Time != e.Time || m.Content != protocol.ContentText {
			w.t.Fatalf("message %d came back as %+v, sent as %+v", i, m, e)
		}
	}
	if string(found[0].Body) != body || len(found[1].Body) != 0 {
		w.t.Fatalf("bodies of %d and %d bytes, want %d and 0", len(found[0].Body), len(found[1].Body), len(body))
	}
}

func readApart(w *world) {
	peers := neighbours(4)
	for i, peer := range peers {
		w.fill(1, 1, peer, 1, i+1)
	}
	w.reopen()
	for i, peer := range peers {
		w.wantHead(direct(1, peer), uint64(i+1))
		for _, descending := range []bool{false, true} {
			found := w.read(direct(1, peer), 0, ^uint64(0), descending)
			if len(found) != i+1 {
				w.t.Fatalf("%d messages with %d, want %d", len(found), peer, i+1)
			}
			for _, m := range found {
				if m.Target.ID != peer {
					w.t.Fatalf("the conversation with %d has a message to %d", peer, m.Target.ID)
				}
			}
		}
	}
	w.wantHead(direct(1, peers[3]+1), 0)
}
