package transfer_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gannet/internal/hop"
	"gannet/protocol"
	"gannet/transfer"
)

// parking notes what it is told.
type parking struct {
	mu    sync.Mutex
	queue *queue
	told  []string
	owed  []string
	each  func() // called with each that is owed; nil: nothing
}

func (p *parking) Park(queue int, mark uint64, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = append(p.told, fmt.Sprintf("%d/%d %s, done %d times", queue, mark, reason, p.queue.times(mark)))
}

func (p *parking) Owes(epoch uint64, owes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owed = append(p.owed, fmt.Sprintf("%d %t", epoch, owes))
	if p.each != nil {
		p.each()
	}
}

func (p *parking) was(t *testing.T, want ...string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(p.told, want) {
		t.Errorf("parked %q, want %q", p.told, want)
	}
}

// parkingScene has user 1 at connection 100 and user 2 at connection 102, both of gateway
// 7, and a queue that parks.
func parkingScene(t *testing.T, log slog.Handler) (*scene, *parking) {
	p := &parking{}
	s := newScene(t, 2, func(c *transfer.Config) {
		c.Parking, p.queue = p, c.Queue.(*queue)
		if log != nil {
			c.Log = slog.New(log)
		}
	})
	s.device(1, 10, 7, 100)
	s.device(2, 11, 7, 102)
	return s, p
}

// moody panics over the first records that cannot be read.
type moody struct {
	slog.Handler
	left *int
}

func (h moody) Enabled(context.Context, slog.Level) bool { return true }

func (h moody) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "cannot be read") && *h.left > 0 {
		*h.left--
		panic("a bug of the log")
	}
	return nil
}

func broken() entry {
	return entry{RecordEntry: hop.RecordEntry{Op: hop.OpMessage, Conversation: to(2).Conversation(1), User: 1, Device: 10, Seq: 1}}
}

// A record that panics is tried again, and goes out if that helps.
func TestRecordThatPanicsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := 1
		s, p := parkingScene(t, moody{slog.DiscardHandler, &left})
		s.queue.put(0, message(1, 10, 2, "a"), broken())
		s.queue.put(0, message(1, 10, 2, "b"))
		synctest.Wait()
		s.got(7, 102, "a", "b")
		s.queue.allDone(t)
		s.stat("panics", 1)
		for _, told := range p.told {
			if strings.Contains(told, "panic") {
				t.Errorf("parked %q", p.told)
			}
		}
	})
}

// thrice has three entries that cannot be read, each for another reason: a log that panics
// over each reason once does so in three tries.
func thrice() []entry {
	op, group := broken(), message(1, 10, 2, "to a group")
	op.Op, group.Conversation = 99, protocol.Conversation{Kind: protocol.KindGroup, A: 5}
	return []entry{op, broken(), group}
}

// One that panics each time is parked before it is done, once, and the next ones go on.
func TestRecordThatPanicsEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := parkingScene(t, everMoody{slog.DiscardHandler})
		s.queue.put(0, thrice()...)
		s.queue.put(0, message(1, 10, 2, "b"))
		synctest.Wait()
		s.got(7, 102, "b")
		s.queue.allDone(t)
		s.stat("panics", 3)
		if last := p.told[len(p.told)-1]; last != "0/1 panic, done 0 times" {
			t.Errorf("parked %q", p.told)
		}
	})
}

type everMoody struct{ slog.Handler }

func (h everMoody) Enabled(context.Context, slog.Level) bool { return true }

func (h everMoody) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "cannot be read") {
		panic("a bug of the log")
	}
	return nil
}

// A record of which an entry cannot be read is parked, and the others go out.
func TestUnreadableIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := parkingScene(t, nil)
		s.queue.put(1, message(1, 10, 2, "a"), broken(), message(1, 10, 2, "b"))
		synctest.Wait()
		s.got(7, 102, "a", "b")
		s.queue.allDone(t)
		p.was(t, "1/1 unreadable frame, done 0 times")
		if err := s.server.Receipts(t.Context(), record(0, 9, broken())); err != nil {
			t.Error(err)
		}
		p.was(t, "1/1 unreadable frame, done 0 times") // receipts are of no queue
		s.stat("parked", 1)
		s.stat("unreadable.frame", 2)
	})
}

// A push that its gateway refuses again and again is given up: its record is parked, and
// a hint stands for it. What other gateways get does not wait, and what follows goes on.
func TestPushThatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := parkingScene(t, nil)
		s.device(2, 12, 8, 200)
		s.gateways.is(7, func(a *attempt) {
			if a.has("a") {
				a.done(nil, fmt.Errorf("%w: for a reason", transfer.ErrRefused))
				return
			}
			a.ok()
		})
		s.queue.put(0, message(1, 10, 2, "a"))
		s.queue.put(0, message(1, 10, 2, "b"))
		synctest.Wait()
		s.got(8, 200, "a", "b")
		if n := s.queue.times(1); n != 0 {
			t.Error("the record is done while a gateway may still take it")
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := s.gateways.pushed(7); !slices.Equal(got, []string{"everything", "b"}) {
			t.Errorf("the gateway got %q", got)
		}
		if n := s.gateways.tries(7); n != 5+2 {
			t.Errorf("%d tries", n)
		}
		s.queue.allDone(t)
		p.was(t, "0/1 refused by a gateway, done 0 times")
		s.stat("drop.refused", 1)
	})
}

// If one of several pushes of a call is refused, they come one by one, and only that one is
// given up.
func TestPushThatIsRefusedInCompany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := parkingScene(t, nil)
		var hung *attempt
		var sizes []int
		s.gateways.is(7, func(a *attempt) { hung = a })
		for _, body := range []string{"first", "a", "bad", "b", "c"} {
			s.queue.put(0, message(1, 10, 2, body))
		}
		synctest.Wait()
		s.gateways.is(7, func(a *attempt) {
			sizes = append(sizes, len(a.pushes))
			if a.has("bad") {
				a.done(nil, fmt.Errorf("%w: for a reason", transfer.ErrRefused))
				return
			}
			a.ok()
		})
		hung.ok()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if got := s.gateways.pushed(7); !slices.Equal(got, []string{"first", "a", "everything", "b", "c"}) {
			t.Errorf("the gateway got %q", got)
		}
		// All four, a, five times the one that is refused, the hint, b, c.
		if want := []int{4, 1, 1, 1, 1, 1, 1, 1, 1, 1}; !slices.Equal(sizes, want) {
			t.Errorf("the calls had %v pushes", sizes)
		}
		s.queue.allDone(t)
		p.was(t, "0/3 refused by a gateway, done 0 times")
		s.stat("drop.refused", 1)
	})
}

// A gateway is owed the hint before the records are done for which it stands, until it has
// taken it.
func TestHintsThatAreOwedAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := parkingScene(t, nil)
		owed := func() []string {
			p.mu.Lock()
			defer p.mu.Unlock()
			return slices.Clone(p.owed)
		}
		var hung *attempt
		s.gateways.is(7, func(a *attempt) { hung = a })
		for range transfer.CourierParcels + 1 {
			s.queue.put(0, message(1, 10, 2, "lost"))
		}
		synctest.Wait()
		if got := owed(); len(got) != 0 {
			t.Fatalf("while all of it waits it is owed %q", got)
		}
		p.each = func() {
			if n := s.queue.times(2); n != 0 {
				t.Errorf("when the hint is kept a record for which it stands was done %d times", n)
			}
		}
		s.queue.put(0, message(1, 10, 2, "too many"))
		synctest.Wait()
		if n := s.queue.times(2); n != 1 {
			t.Errorf("a record for which the hint stands was done %d times", n)
		}
		p.each = nil
		hung.ok()
		synctest.Wait()
		hung.ok() // the hint
		synctest.Wait()
		if got := owed(); !slices.Equal(got, []string{"7 true", "7 false"}) {
			t.Errorf("it was owed %q", got)
		}
	})
}

// One whose epoch ends is owed nothing.
func TestNothingIsOwedToWhoIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := parkingScene(t, nil)
		s.gateways.is(7, func(a *attempt) { a.done(nil, errNobody) })
		for range transfer.CourierParcels + 2 {
			s.queue.put(0, message(1, 10, 2, "lost"))
		}
		synctest.Wait()
		s.gateways.is(7, func(a *attempt) { a.done(nil, transfer.ErrEnded) })
		time.Sleep(time.Minute)
		synctest.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		if !slices.Equal(p.owed, []string{"7 true", "7 false"}) {
			t.Errorf("it was owed %q", p.owed)
		}
	})
}
