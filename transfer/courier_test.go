package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gannet/internal/hop"
	"gannet/protocol"
	"gannet/transfer"
)

// pair starts a scene of two queues with a sender nowhere, user 2 at gateway 7 and
// user 3 at gateway 8.
func pair(t *testing.T) *scene {
	s := newScene(t, 2, nil)
	s.device(2, 10, 7, 102)
	s.device(3, 10, 8, 103)
	return s
}

// The errors of gateways in these tests.
var errNobody = errors.New("no gateway there")

// One gateway that hangs, fails or breaks holds up neither the others nor a queue.
// When it is well again it gets everything once more, in order.
func TestBadGatewayDelaysNobody(t *testing.T) {
	for name, c := range map[string]struct {
		behave func(*attempt)
		late   func(pushes uint64) uint64
		most   int // tries in 30 s
	}{
		"hangs":   {func(*attempt) {}, func(uint64) uint64 { return 0 }, 14},
		"refuses": {func(a *attempt) { a.done(nil, errNobody) }, func(uint64) uint64 { return 0 }, 21},
		"refuses later": {func(a *attempt) {
			go func() { time.Sleep(time.Millisecond); a.done(nil, errNobody) }()
		}, func(uint64) uint64 { return 0 }, 21},
		"panics":                  {func(*attempt) { panic("a bug") }, func(uint64) uint64 { return 0 }, 21},
		"fails and answers again": {func(a *attempt) { a.done(nil, errNobody); a.done(nil, nil) }, func(n uint64) uint64 { return n }, 21},
		"fails and panics":        {func(a *attempt) { a.done(nil, errNobody); panic("a bug") }, func(n uint64) uint64 { return n }, 21},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := pair(t)
				s.gateways.is(7, c.behave)
				begin := time.Now()
				for i := range 20 { // each goes to both
					s.queue.put(0, message(1, 10, 2, fmt.Sprint(i)), message(1, 10, 3, fmt.Sprint(i)))
					synctest.Wait()
				}
				if waited := time.Since(begin); waited != 0 {
					t.Errorf("the queue was held up for %v", waited)
				}
				s.got(8, 103, numbered(0, 20)...)
				if n := s.queue.times(1); n != 0 {
					t.Errorf("the first record was done %d times, while a gateway has not taken it", n)
				}
				time.Sleep(30 * time.Second)
				synctest.Wait()
				if n := s.gateways.tries(7); n < 8 || n > c.most {
					t.Errorf("%d tries in 30 s, want at most %d", n, c.most)
				}
				if s.lines.with("a push failed") == 0 {
					t.Error("no line says that pushes fail")
				}
				failed := s.server.Stats()["retry.push"]
				s.gateways.is(7, nil)
				time.Sleep(3 * time.Second)
				synctest.Wait()
				s.got(7, 102, numbered(0, 20)...)
				s.got(8, 103, numbered(0, 20)...)
				s.stat("drop.everything", 0)
				s.stat("late", c.late(failed))
				s.queue.allDone(t)
			})
		})
	}
}

// A gateway that fails again and again is worth one line a second.
func TestFailuresAreSaidSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pair(t)
		fails := false
		s.gateways.is(7, func(a *attempt) { // every other time
			if fails = !fails; fails {
				a.done(nil, errNobody)
			} else {
				a.ok()
			}
		})
		for range 100 {
			s.queue.put(0, message(1, 10, 2, "a"))
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		s.stat("retry.push", 100)
		if n := s.lines.with("a push failed"); n < 9 || n > 11 {
			t.Errorf("%d lines in 10 s", n)
		}
		s.queue.allDone(t)
	})
}

func numbered(first, end int) (list []string) {
	for i := first; i < end; i++ {
		list = append(list, fmt.Sprint(i))
	}
	return list
}

// A push that is not answered in time is pushed again. What comes after that to the
// first try is counted and changes nothing.
func TestLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pair(t)
		var tries []*attempt
		s.gateways.is(7, func(a *attempt) { tries = append(tries, a) })
		s.queue.put(0, message(1, 10, 2, "a"))
		s.queue.put(0, message(1, 10, 2, "b"))
		synctest.Wait()
		time.Sleep(1200 * time.Millisecond)
		synctest.Wait()
		if len(tries) != 2 {
			t.Fatalf("%d tries after the time-out, want 2", len(tries))
		}
		tries[0].ok()
		tries[0].done(nil, transfer.ErrEnded)
		synctest.Wait()
		s.stat("late", 2)
		if len(tries) != 2 || s.queue.times(1) != 0 {
			t.Fatalf("%d tries, the record done %d times: a late answer counted", len(tries), s.queue.times(1))
		}
		tries[1].ok()
		synctest.Wait()
		if len(tries) != 3 || s.queue.times(1) != 1 {
			t.Fatalf("%d tries, the record done %d times", len(tries), s.queue.times(1))
		}
		tries[1].done(nil, errNobody) // twice
		tries[2].ok()
		synctest.Wait()
		s.stat("late", 3)
		s.stat("retry.push", 1)
		s.got(7, 102, "a", "a", "b")
		s.queue.allDone(t)
	})
}

// A gateway that was given up for a try, or broke off in it, may still read that
// push: its memory is not used for another one.
func TestPushThatMayStillBeRead(t *testing.T) {
	for name, behave := range map[string]func(*attempt){
		"hangs":  func(*attempt) {},
		"panics": func(*attempt) { panic("a bug") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := pair(t)
				var first *hop.Push
				s.gateways.is(7, func(a *attempt) {
					first = a.pushes[0]
					s.gateways.is(7, nil)
					behave(a)
				})
				s.queue.put(0, message(1, 10, 2, "a"))
				time.Sleep(2 * time.Second)
				synctest.Wait()
				s.got(7, 102, "a")
				for range 100 {
					s.queue.put(0, message(1, 10, 3, "b"), message(1, 10, 3, "c"))
				}
				synctest.Wait()
				if err := first.Check(); err != nil || first.Len() != 1 || name1(first) != "a" || !slices.Equal(first.To(0), []uint64{102}) {
					t.Errorf("the push of the first try is now %d frames, first %q (%v)", first.Len(), name1(first), err)
				}
				s.queue.allDone(t)
			})
		})
	}
}

// name1 names the first frame of a push.
func name1(p *hop.Push) string {
	if p.Len() == 0 {
		return "nothing"
	}
	return name(p.Bytes(0))
}

// An answer from whatever goroutine, before or after Push returns, brings the next
// push on.
func TestAnswersFromAnywhere(t *testing.T) {
	for name, behave := range map[string]func(*attempt){
		"before Push returns":                    (*attempt).ok,
		"from elsewhere, before Push returns":    func(a *attempt) { over := make(chan struct{}); go func() { a.ok(); close(over) }(); <-over },
		"from elsewhere, while Push returns":     func(a *attempt) { go a.ok() },
		"from elsewhere, long after it returned": func(a *attempt) { go func() { time.Sleep(time.Millisecond); a.ok() }() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := pair(t)
				s.gateways.is(7, behave)
				for i := range 200 {
					s.queue.put(0, message(1, 10, 2, fmt.Sprint(i)))
				}
				time.Sleep(time.Second)
				synctest.Wait()
				s.got(7, 102, numbered(0, 200)...)
				s.stat("late", 0)
				s.queue.allDone(t)
			})
		})
	}
}

// What waits for a gateway goes in one call, up to a size.
func TestWhatWaitsGoesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pair(t)
		var hung *attempt
		var sizes []int
		s.gateways.is(7, func(a *attempt) { hung = a })
		for i := range 50 {
			s.queue.put(i%2, message(1, 10, 2, fmt.Sprint(i)))
			synctest.Wait()
		}
		const large = transfer.TogetherBytes / 4
		for range 6 {
			body := strings.Repeat("x", protocol.MaxBody)
			var entries []entry
			for range large / protocol.MaxBody {
				entries = append(entries, message(1, 10, 2, body))
			}
			s.queue.put(0, entries...)
		}
		synctest.Wait()
		s.gateways.is(7, func(a *attempt) {
			sizes = append(sizes, len(a.pushes))
			a.ok()
		})
		hung.ok()
		synctest.Wait()
		if want := []int{49 + 3, 3}; !slices.Equal(sizes, want) {
			t.Errorf("the calls had %v pushes, want %v", sizes, want)
		}
		if got := s.gateways.pushed(7); len(got) < 50 || !slices.Equal(got[:50], numbered(0, 50)) {
			t.Errorf("the gateway got %.50q", got)
		}
		s.queue.allDone(t)
	})
}

// ErrEnded gives up what waits for that epoch, and nothing else.
func TestEndedEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pair(t)
		var first *attempt
		s.gateways.is(7, func(a *attempt) { first = a })
		for i := range 5 {
			s.queue.put(0, message(1, 10, 2, fmt.Sprint(i)), message(1, 10, 3, fmt.Sprint(i)))
		}
		synctest.Wait()
		first.done(nil, fmt.Errorf("push: %w", transfer.ErrEnded))
		synctest.Wait()
		s.queue.allDone(t)
		s.stat("drop.ended", 5)
		s.got(8, 103, numbered(0, 5)...)
		s.gateways.is(7, func(a *attempt) { a.done(nil, transfer.ErrEnded) })
		s.queue.put(0, message(1, 10, 2, "later"))
		synctest.Wait()
		s.stat("drop.ended", 6)
		s.stat("retry.push", 0)
		// Whoever logs in again is served under the new epoch.
		s.device(2, 10, 9, 900)
		s.queue.put(0, message(1, 10, 2, "new"))
		time.Sleep(time.Second)
		synctest.Wait()
		s.got(9, 900, "new")
		s.queue.allDone(t)
	})
}

// Connections that are gone are counted, and no more of them than were pushed to.
func TestAbsentConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pair(t)
		s.gateways.is(7, func(a *attempt) { a.done([]uint64{102}, nil) })
		s.gateways.is(8, func(a *attempt) { a.done(make([]uint64, 1000), nil) })
		s.queue.put(0, message(1, 10, 2, "a"), message(1, 10, 3, "b"))
		synctest.Wait()
		s.stat("drop.absent", 2)
		s.queue.allDone(t)
	})
}

// A courier that is in the middle of a push is not taken for one without work,
// however long it has been at work.
func TestBusyCourierIsNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pair(t)
		begun, more := make(chan struct{}), make(chan struct{})
		s.gateways.is(7, func(a *attempt) {
			s.gateways.is(7, nil)
			close(begun)
			<-more
			a.ok()
			time.Sleep(2 * time.Minute) // it has answered, and does not return
		})
		s.queue.put(0, message(1, 10, 2, "a"))
		<-begun
		s.queue.put(1, message(1, 10, 2, "b")) // of another queue: waits behind
		synctest.Wait()
		close(more)
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		s.got(7, 102, "a", "b")
		s.queue.allDone(t)
	})
}

// A courier without work goes, and another comes with the next push.
func TestIdleCourierGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pair(t)
		for i := range 5 {
			s.queue.put(0, message(1, 10, 2, fmt.Sprint(i)))
			time.Sleep(90 * time.Second)
			synctest.Wait()
			if n := s.server.Couriers(); n != 0 {
				t.Fatalf("%d couriers after 90 s without work", n)
			}
		}
		s.got(7, 102, numbered(0, 5)...)
		s.queue.allDone(t)
	})
}

// The context of whoever hands a record in goes with the pushes of that record alone.
func TestContextGoesWithItsOwnPushOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type batch struct{}
		s := pair(t)
		var seen []any
		see := func(a *attempt) {
			seen = append(seen, a.ctx.Value(batch{}))
			a.ok()
		}
		s.gateways.is(7, func(a *attempt) {
			s.gateways.is(7, see)
			s.queue.put(1, message(1, 10, 2, "b")) // meanwhile, on another goroutine
			synctest.Wait()
			see(a)
		})
		ctx := context.WithValue(t.Context(), batch{}, "one")
		if err := s.server.Receipts(ctx, record(0, 0, receipt(3, 10, 2))); err != nil {
			t.Fatal(err)
		}
		s.got(7, 102, "receipt", "b")
		if !slices.Equal(seen, []any{"one", nil}) {
			t.Errorf("the pushes came with %v", seen)
		}
	})
}

// Whoever hears that a record is done may call transfer.
func TestDoneMayCallBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pair(t)
		s.gateways.is(7, func(a *attempt) { go a.ok() })
		s.queue.onDone = func(mark uint64) {
			if err := s.server.Receipts(t.Context(), record(0, 0, receipt(3, 10, 2))); err != nil {
				t.Error(err)
			}
		}
		s.queue.put(0, message(1, 10, 2, "a"))
		synctest.Wait()
		s.got(7, 102, "a", "receipt")
		s.queue.allDone(t)
	})
}
