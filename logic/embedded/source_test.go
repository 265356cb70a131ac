package embedded

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// hooked is a store as its ledger reads it, with something that happens before the next
// read.
type hooked struct {
	ledger.Source
	load, walk atomic.Pointer[func()]
}

func (h *hooked) Load(ctx context.Context, conversations []*ledger.Loaded) error {
	if f := h.load.Swap(nil); f != nil {
		(*f)()
	}
	return h.Source.Load(ctx, conversations)
}

func (h *hooked) Walk(ctx context.Context, walks []*ledger.Walk) error {
	if f := h.walk.Swap(nil); f != nil {
		(*f)()
	}
	return h.Source.Walk(ctx, walks)
}

// openHooked opens a store of one queue whose ledger reads through hooks.
func openHooked(t *testing.T, opts Options) (*Store, *hooked) {
	t.Helper()
	h := &hooked{}
	opts.Queues = 1
	opts.source = func(source ledger.Source) ledger.Source {
		h.Source = source
		return h
	}
	return mustOpen(t, opts), h
}

// forget empties the ledger.
func forget(t *testing.T, s *Store) {
	t.Helper()
	q := s.queues[0]
	if err := q.line.Do(t.Context(), nil, func([]*logic.Batch) { q.ledger.Forget() }); err != nil {
		t.Fatal(err)
	}
}

// TestReadBesideCommit: a reader that finds a conversation not in memory, and then on
// the disk with a commit that is not durable yet, is not shown it.
func TestReadBesideCommit(t *testing.T) {
	var armed atomic.Bool
	release := make(chan struct{})
	s, h := openHooked(t, Options{FS: onLogSync(vfs.NewMem(), &armed, func() error { <-release; return nil }), Now: newClock().now})
	mustSend(t, s, 1, 1, 2, 1)
	forget(t, s)
	done := make(chan error, 1)
	load := func() {
		armed.Store(true)
		go func() { done <- new(entries).send(2, 1, 1, 1).read(1, 1, 2, 2).applyTo(t, s) }()
		shown(t, s, direct(1, 2), 2)
	}
	h.load.Store(&load)
	before := sight{head: 1, there: 1, delivered: 1, acked: 1, inbox: 1, next: 2}
	if got := look(t, s, 2); got != before {
		t.Errorf("during the commit a reader sees %+v, want %+v", got, before)
	}
	armed.Store(false)
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got, want := look(t, s, 2), (sight{head: 2, there: 2, delivered: 2, read: 2, acked: 1, inbox: 1, next: 3}); got != want {
		t.Errorf("after the commit a reader sees %+v, want %+v", got, want)
	}
}

// TestReadBesideRead: counts that were looked up for a read cursor that has moved on
// are not kept.
func TestReadBesideRead(t *testing.T) {
	s := mustOpen(t, Options{Queues: 1, FS: vfs.NewMem()})
	for id := uint64(1); id <= 10; id++ {
		mustSend(t, s, 1, 1, 2, id)
	}
	new(entries).read(2, 1, 1, 4).mustApply(t, s)
	if state := stateOf(t, s, 2, 1, 1); state.Unread != 6 { // what it learned waits for the next record
		t.Fatalf("%d are unread, want 6", state.Unread)
	}
	new(entries).read(2, 1, 1, 7).mustApply(t, s)
	for range 2 {
		if state := stateOf(t, s, 2, 1, 1); state.Unread != 3 {
			t.Fatalf("%d are unread, want 3", state.Unread)
		}
		s.flushAcks(true)
	}
}

// TestPanicInSource: a panic below the ledger costs the record, and nothing after it.
func TestPanicInSource(t *testing.T) {
	s, h := openHooked(t, Options{FS: vfs.NewMem(), Log: slog.New(slog.DiscardHandler)})
	for id := uint64(1); id <= 10; id++ {
		mustSend(t, s, 1, 1, 2, id)
	}
	forget(t, s)
	bug := func() { panic("a bug of the database") }
	check := func(name string) {
		e := new(entries).send(1, 1, 2, 5).send(1, 1, 2, 4).mustApply(t, s)
		for i, want := range []uint64{5, 4} {
			if e[i].Outcome != logic.Repeated || e[i].Seq != want {
				t.Fatalf("%s: after the panic the retry got %+v, want seq %d again", name, e[i], want)
			}
		}
		if got := stateOf(t, s, 2, 1, 1); got.Head != 10 || got.Acked != 0 {
			t.Fatalf("%s: after the panic a reader sees %+v", name, got)
		}
	}
	h.load.Store(&bug)
	if err := new(entries).send(1, 1, 3, 1).send(1, 1, 2, 5).ack(2, 1, 1, 3).applyTo(t, s); !errors.Is(err, logic.ErrUnavailable) {
		t.Fatalf("the error is %v, want ErrUnavailable", err)
	}
	check("load")
	forget(t, s)
	h.walk.Store(&bug)
	if e := new(entries).send(1, 1, 2, 5).mustApply(t, s)[0]; e.Outcome != logic.Unknown {
		t.Fatalf("a retry whose window cannot be read came to %+v", e)
	}
	check("walk")
	if err := s.Err(); err != nil {
		t.Fatalf("the store has failed: %v", err)
	}
	if e := mustSend(t, s, 1, 1, 3, 1); e.Outcome != logic.Applied || e.Seq != 1 {
		t.Fatalf("the message that never was got %+v", e)
	}
	if page, err := s.Changed(t.Context(), logic.InboxQuery{User: 3, Device: 1, Limit: 1, Room: protocol.MaxFrame}); err != nil || len(page.States) != 1 {
		t.Fatalf("%+v, %v", page, err)
	}
}

// TestRetryDelaysNobody: while client ids are read back for one device, others send, and
// the device does in other conversations; then it gets its answer.
func TestRetryDelaysNobody(t *testing.T) {
	s, h := openHooked(t, Options{FS: vfs.NewMem()})
	for id := uint64(1); id <= 10; id++ {
		mustSend(t, s, 1, 1, 2, id)
	}
	forget(t, s)
	reading, release := make(chan struct{}), make(chan struct{})
	walk := func() {
		close(reading)
		<-release
	}
	h.walk.Store(&walk)
	again := func() logic.Entry {
		b := new(entries).send(1, 1, 2, 5)
		if err := b.applyTo(t, s); err != nil {
			t.Fatal(err)
		}
		return b.Entries[0]
	}
	if e := again(); !isBusy(e) {
		t.Fatalf("a retry whose client id has to be read back came to %+v", e)
	}
	<-reading
	for i, b := range []*entries{new(entries).send(2, 1, 1, 1), new(entries).send(1, 1, 3, 11), new(entries).send(3, 1, 1, 1)} {
		if err := b.applyTo(t, s); err != nil || b.Entries[0].Outcome != logic.Applied {
			t.Fatalf("while it is read back message %d came to %+v, %v", i, b.Entries[0], err)
		}
	}
	if e := again(); !isBusy(e) {
		t.Fatalf("before it is read back the retry came to %+v", e)
	}
	close(release)
	if e := mustSend(t, s, 1, 1, 2, 5); e.Outcome != logic.Repeated || e.Seq != 5 {
		t.Fatalf("once it is read back the retry came to %+v", e)
	}
}

// TestCloseDuringARecall: the store closes although client ids are being read back.
func TestCloseDuringARecall(t *testing.T) {
	fs := vfs.NewMem()
	s, h := openHooked(t, Options{FS: fs})
	for id := uint64(1); id <= 10; id++ {
		mustSend(t, s, 1, 1, 2, id)
	}
	forget(t, s)
	reading := make(chan struct{})
	walk := func() {
		close(reading)
		<-s.ending.Done()
	}
	h.walk.Store(&walk)
	if err := new(entries).send(1, 1, 2, 5).applyTo(t, s); err != nil {
		t.Fatal(err)
	}
	<-reading
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, Options{Queues: 1, FS: fs})
	if e := mustSend(t, s, 1, 1, 2, 5); e.Outcome != logic.Repeated || e.Seq != 5 {
		t.Fatalf("after the restart the retry came to %+v", e)
	}
}
