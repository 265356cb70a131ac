package embedded

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// atNextLog wraps a file system so that do runs before each write-ahead log is begun
// while armed is set; its error becomes that of the operation.
func atNextLog(fs vfs.FS, armed *atomic.Bool, do func() error) vfs.FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if armed.Load() && isLog(op.Path) && (op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpReuseForWrite) {
			return do()
		}
		return nil
	}))
}

// sendUntilTheNextLog sends from a goroutine, which stays in Pebble, and returns once a
// log is to be begun.
func sendUntilTheNextLog(t *testing.T, s *Store, armed *atomic.Bool, begun <-chan struct{}) {
	t.Helper()
	armed.Store(true)
	go func() {
		for id := uint64(2); s.Err() == nil; id++ {
			if new(entries).large(1, 1, 2, id, 4<<10).applyTo(t, s) != nil {
				return
			}
		}
	}()
	within(t, "a log is to be begun", func() { <-begun })
}

// TestCloseWhileAcksAreStuck: the goroutine that writes acks waits for a sender who
// never comes back from a failed log, and a close waits for neither.
func TestCloseWhileAcksAreStuck(t *testing.T) {
	var armed atomic.Bool
	begun, hold := make(chan struct{}, 1), make(chan struct{})
	s, err := Open("data", Options{Queues: 1, Log: slog.New(slog.DiscardHandler), tune: smallTables, FS: atNextLog(vfs.NewMem(), &armed, func() error {
		begun <- struct{}{}
		<-hold // a disk that takes its time to fail
		return syscall.EIO
	})})
	if err != nil {
		t.Fatal(err)
	}
	mustSend(t, s, 1, 1, 2, 1)
	new(entries).ack(2, 1, 1, 1).mustApply(t, s)
	sendUntilTheNextLog(t, s, &armed, begun)
	s.background.Go(func() { s.flushAcksOf(s.queues[0], true) }) // which are due
	close(hold)
	within(t, "the store fails", func() { <-s.Failed() })
	within(t, "the store closes", func() {
		if err := s.Close(); !errors.Is(err, syscall.EIO) {
			t.Errorf("Close gives %v", err)
		}
	})
}

// TestCloseHasAnEnd: a close returns in time, with the reason, from a disk that does
// not answer.
func TestCloseHasAnEnd(t *testing.T) {
	var armed atomic.Bool
	begun, hold := make(chan struct{}, 1), make(chan struct{})
	defer close(hold)
	s, err := Open("data", Options{Queues: 1, Log: slog.New(slog.DiscardHandler), tune: smallTables, FS: atNextLog(vfs.NewMem(), &armed, func() error {
		begun <- struct{}{}
		<-hold
		return syscall.EIO
	})})
	if err != nil {
		t.Fatal(err)
	}
	sendUntilTheNextLog(t, s, &armed, begun)
	ctx, cancel := context.WithCancel(t.Context())
	closed := make(chan error, 1)
	go func() { closed <- s.CloseWithin(ctx) }()
	<-s.closing
	select {
	case err := <-closed:
		t.Fatalf("it does not wait at all: %v", err)
	default:
	}
	cancel()
	within(t, "the store closes", func() {
		if err := <-closed; !errors.Is(err, errNoTime) {
			t.Errorf("it gives %v", err)
		}
	})
}
