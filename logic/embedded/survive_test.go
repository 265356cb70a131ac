package embedded

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// A panic of whoever is handed the records costs the senders nothing, whether one
// batch or several are applied, and the next records are handed onward.
func TestPanicOfPublishing(t *testing.T) {
	ill, published := true, map[uint64]bool{}
	s := mustOpen(t, Options{Queues: 2, FS: vfs.NewMem(), Log: slog.New(slog.DiscardHandler), Publish: func(_ context.Context, r *hop.Record) {
		if ill {
			panic("a bug of transfer")
		}
		published[r.Mark] = true
	}})
	one, two := new(entries).send(1, 1, 2, 1), new(entries)
	one.Queue = s.queueOf(direct(1, 2)).index
	peer := uint64(3)
	for s.queueOf(direct(1, peer)).index == one.Queue {
		peer++
	}
	two.send(1, 1, peer, 1)
	two.Queue = 1 - one.Queue
	if err := s.Apply(t.Context(), []*logic.Batch{&one.Batch, &two.Batch}); err != nil {
		t.Fatal(err)
	}
	for _, b := range []*entries{one, two} {
		if e := b.Entries[0]; b.Err != nil || e.Outcome != logic.Applied || e.Seq != 1 {
			t.Errorf("a batch that is durable is told %v, %+v", b.Err, e)
		}
	}
	if e := mustSend(t, s, 1, 1, 2, 2); e.Outcome != logic.Applied || e.Seq != 2 {
		t.Errorf("told %+v", e)
	}
	if n := s.panics.Load(); n != 3 {
		t.Errorf("%d panics counted", n)
	}
	ill = false
	mustSend(t, s, 1, 1, 2, 3)
	if len(published) != 1 || headOf(t, s, direct(1, 2)) != 3 {
		t.Errorf("%d records published, a head of %d", len(published), headOf(t, s, direct(1, 2)))
	}
	page, err := s.Changed(t.Context(), logic.InboxQuery{User: 1, Device: 1, Limit: protocol.MaxPage, Room: protocol.MaxFrame})
	if err != nil || len(page.States) != 2 {
		t.Fatalf("%d conversations, %v", len(page.States), err)
	}
	if later, err := s.Changed(t.Context(), logic.InboxQuery{User: 1, Device: 1, Since: page.Next, Limit: protocol.MaxPage, Room: protocol.MaxFrame}); err != nil || len(later.States) != 0 {
		t.Errorf("what was settled does not end: %d conversations changed since, %v", len(later.States), err)
	}
}

// After a bug that leaves open what of the memory is true, the store is over, with its
// reason, and nothing is acked.
func TestPanicAfterTheCommit(t *testing.T) {
	var s *Store
	var armed atomic.Bool
	fs := onLogSync(vfs.NewMem(), &armed, func() error {
		s.stamps.mu.Lock()
		defer s.stamps.mu.Unlock()
		s.stamps.underWay = nil // which the end of a record needs
		return nil
	})
	s, err := Open("data", Options{Queues: 1, FS: fs, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	mustSend(t, s, 1, 1, 2, 1)
	armed.Store(true)
	b := new(entries).send(1, 1, 2, 2)
	if err := b.applyTo(t, s); !errors.Is(err, logic.ErrUnavailable) {
		t.Errorf("told %v", err)
	}
	select {
	case <-s.Failed():
	default:
		t.Error("the store goes on")
	}
	if err := new(entries).send(1, 1, 2, 3).applyTo(t, s); !errors.Is(err, logic.ErrUnavailable) {
		t.Errorf("the next one is told %v", err)
	}
	if err := s.Close(); err == nil {
		t.Error("it closes as if nothing had been")
	}
}

// A bug amid acks that nobody waits for ends neither the process nor the ticker.
func TestPanicWhileAcksAreWritten(t *testing.T) {
	s := mustOpen(t, Options{Queues: 1, FS: vfs.NewMem(), Log: slog.New(slog.DiscardHandler)})
	s.flushAcksOf(&queue{}, true) // it has no ledger
	if n := s.panics.Load(); n != 1 {
		t.Errorf("%d panics counted", n)
	}
	if e := mustSend(t, s, 1, 1, 2, 1); e.Outcome != logic.Applied {
		t.Errorf("told %+v", e)
	}
}

// What a panic left of a run is not written with the next batch.
func TestPanicAmidARun(t *testing.T) {
	s := mustOpen(t, Options{Queues: 1, FS: vfs.NewMem(), Log: slog.New(slog.DiscardHandler)})
	m := protocol.Message{Target: to(9), Sender: 8, Device: 1, ClientID: 1, Content: protocol.ContentText, Body: []byte("never happened")}
	if _, err := s.queues[0].run.add(&ledger.Message{Seq: 1, Count: 1, Own: 1, Payload: m.AppendPayload(nil)}); err != nil {
		t.Fatal(err)
	}
	mustSend(t, s, 1, 1, 2, 1)
	page := logic.Page{Conversation: direct(1, 2), Limit: 9, Room: protocol.MaxFrame}
	if err := s.Pages(t.Context(), []*logic.Page{&page}); err != nil || page.Err != nil || page.Count != 1 {
		t.Errorf("%d messages, %v, %v", page.Count, err, page.Err)
	}
}

// A panic while client ids are read back is counted as any other.
func TestPanicOfARecall(t *testing.T) {
	s := mustOpen(t, Options{Queues: 1, FS: vfs.NewMem(), Log: slog.New(slog.DiscardHandler)})
	if !s.recall(&queue{}) { // it has no ledger
		t.Error("the others are not looked at again")
	}
	if n := s.panics.Load(); n != 1 {
		t.Errorf("%d panics counted", n)
	}
}
