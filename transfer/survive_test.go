package transfer_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gannet/internal/hop"
	"gannet/transfer"
)

// A queue that panics when it hears that a record is done costs nobody anything: what
// follows goes out at once, to whom it belongs, and the gateway's courier goes on.
func TestPanicOfAQueueThatHearsOfItsRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pair(t)
		s.queue.onDone = func(mark uint64) {
			if mark == 1 {
				panic("a bug of the queue")
			}
		}
		begin := time.Now()
		s.queue.put(0, message(1, 10, 2, "a"))
		s.queue.put(0, message(1, 10, 2, "b"))
		s.queue.put(0, message(1, 10, 3, "c"))
		synctest.Wait()
		if took := time.Since(begin); took > 0 {
			t.Errorf("the queue stood still for %v", took)
		}
		s.got(7, 102, "a", "b")
		s.stat("panics", 1)
		s.stat("retry.follow", 0)
		if n := s.queue.times(3); n != 1 {
			t.Errorf("the last record was done %d times", n)
		}
	})
}

// panickyLog panics over records that cannot be read.
type panickyLog struct{ slog.Handler }

func (h panickyLog) Enabled(context.Context, slog.Level) bool { return true }

func (h panickyLog) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "cannot be read") {
		panic("a bug of the log")
	}
	return h.Handler.Handle(ctx, r)
}

// A bug amid a record is over with it: it counts as done, and the next ones go out as
// if nothing had been, from the queue and past it.
func TestPanicAmidARecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 1, func(c *transfer.Config) {
			c.Log = slog.New(panickyLog{slog.DiscardHandler})
		})
		s.device(1, 10, 7, 100)
		s.device(2, 11, 7, 102)
		broken := entry{RecordEntry: hop.RecordEntry{Op: hop.OpMessage, Conversation: to(2).Conversation(1), User: 1, Device: 10, Seq: 1}}
		s.queue.put(0, message(1, 10, 2, "before it"), broken)
		s.queue.put(0, message(1, 10, 2, "a"))
		synctest.Wait()
		s.got(7, 102, "a")
		s.queue.allDone(t)
		s.stat("panics", 1)
		time.Sleep(2 * time.Second) // of the bubble: the line is logged once a second
		if err := s.server.Receipts(t.Context(), record(0, 9, receipt(2, 11, 1), broken)); err == nil {
			t.Error("no error of receipts that panicked")
		}
		if err := s.server.Receipts(t.Context(), record(0, 9, receipt(2, 11, 1))); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		s.got(7, 100, "receipt")
		s.stat("panics", 2)
	})
}
