package transfer_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gannet/internal/hop"
	"gannet/transfer"
)

// A gateway that answers nothing gets so many parcels and no more; all of them become
// one hint to sync everything, which comes first when it answers again.
func TestParcelsThatDoNotFitBecomeOneHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pair(t)
		var hung *attempt
		s.gateways.is(7, func(a *attempt) { hung = a })
		for range 1 + transfer.CourierParcels + 1 {
			s.queue.put(0, message(1, 10, 2, "lost"), message(1, 10, 3, "found"))
		}
		synctest.Wait()
		s.stat("drop.everything", 1+transfer.CourierParcels)
		s.queue.put(0, message(1, 10, 2, "behind it"))
		synctest.Wait()
		if n := s.queue.times(1) + s.queue.times(s.queue.mark); n != 0 {
			t.Errorf("what is under way and what waits was done %d times", n)
		}
		for mark := uint64(2); mark < s.queue.mark; mark++ {
			if n := s.queue.times(mark); n != 1 {
				t.Fatalf("record %d, which a hint stands for, was done %d times", mark, n)
			}
		}
		if n := len(s.gateways.pushed(8)); n != transfer.CourierParcels+2 {
			t.Errorf("the other gateway got %d pushes", n)
		}
		s.gateways.is(7, nil)
		hung.ok()
		synctest.Wait()
		if got, want := s.gateways.pushed(7), []string{"lost", "everything", "behind it"}; !slices.Equal(got, want) {
			t.Errorf("the gateway got %q, want %q", got, want)
		}
		s.queue.allDone(t)
	})
}

// hintedWithin lets gateway 7 answer again. Within some time it gets the hint for all that it did
// not get, and then what comes after it.
func hintedWithin(s *scene, patience time.Duration) {
	s.t.Helper()
	s.gateways.is(7, nil)
	time.Sleep(patience)
	synctest.Wait()
	s.queue.put(0, message(1, 10, 2, "after it"))
	synctest.Wait()
	if got, want := s.gateways.pushed(7), []string{"everything", "after it"}; !slices.Equal(got, want) {
		s.t.Errorf("the gateway got %q, want %q", got, want)
	}
	s.queue.allDone(s.t)
}

// A gateway that takes nothing for long does not hold up the records for ever: a hint stands for
// what it did not get, also while no more comes than fits.
func TestHintStandsForWhatIsNotTakenForLong(t *testing.T) {
	for name, behave := range map[string]func(*attempt){
		"hangs": func(*attempt) {}, "fails": func(a *attempt) { a.done(nil, errNobody) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := pair(t)
				s.gateways.is(7, behave)
				for range 3 {
					s.queue.put(0, message(1, 10, 2, "lost"))
				}
				time.Sleep(transfer.CourierPatience - 2*time.Second)
				synctest.Wait()
				s.stat("drop.everything", 0)
				time.Sleep(8 * time.Second)
				synctest.Wait()
				s.queue.allDone(t)
				s.stat("drop.everything", 3)
				s.queue.put(0, message(1, 10, 2, "lost, too"))
				time.Sleep(5 * time.Second)
				synctest.Wait()
				s.queue.allDone(t)
				s.stat("drop.everything", 4)
				hintedWithin(s, 5*time.Second)
				// Its patience begins anew.
				s.gateways.is(7, behave)
				s.queue.put(0, message(1, 10, 2, "late"))
				time.Sleep(transfer.CourierPatience / 2)
				s.gateways.is(7, nil)
				time.Sleep(5 * time.Second)
				synctest.Wait()
				s.stat("drop.everything", 4)
				s.queue.allDone(t)
			})
		})
	}
}

// A gateway that is too slow for a large call gets smaller ones, until it takes them.
func TestSlowGatewayGetsSmallerCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pair(t)
		s.gateways.is(7, func(*attempt) {})
		for i := range 200 {
			s.queue.put(0, message(1, 10, 2, fmt.Sprint(i)))
		}
		sizes := []int{}
		s.gateways.is(7, func(a *attempt) {
			if sizes = append(sizes, len(a.pushes)); len(a.pushes) <= 30 {
				a.ok()
			}
		})
		time.Sleep(transfer.CourierPatience / 2)
		synctest.Wait()
		s.got(7, 102, numbered(0, 200)...)
		s.stat("drop.everything", 0)
		s.queue.allDone(t)
		if !slices.Contains(sizes, 199) {
			t.Errorf("the calls had %v pushes", sizes)
		}
	})
}

// What was tried and failed is part of what the hint stands for, too.
func TestHintStandsForWhatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pair(t)
		s.gateways.is(7, func(a *attempt) { a.done(nil, errNobody) })
		for range 1 + transfer.CourierParcels + 1 {
			s.queue.put(0, message(1, 10, 2, "lost"))
		}
		synctest.Wait()
		s.queue.allDone(t)
		s.stat("drop.everything", 2+transfer.CourierParcels)
		hintedWithin(s, time.Second)
	})
}

// The bytes that wait for one gateway are bounded, whatever they are bytes of.
func TestBytesThatWaitAreBounded(t *testing.T) {
	const body = 60 << 10
	for name, entries := range map[string]func() []entry{
		"large messages": func() []entry { return []entry{message(1, 10, 2, strings.Repeat("x", body))} },
		"one small message of a record that is for others": func() []entry {
			return []entry{message(1, 10, 2, "x"), message(1, 10, 9, strings.Repeat("y", body))}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := pair(t)
				var held []*hop.Push
				var hung []*attempt
				s.gateways.is(7, func(a *attempt) { hung = append(hung, a) })
				n := 0
				for ; n < 2000 && s.server.Stats()["drop.everything"] == 0; n++ {
					s.queue.put(0, entries()...)
					synctest.Wait()
				}
				if overflowed := s.server.Stats()["drop.everything"] != 0; overflowed != (name == "large messages") {
					t.Fatalf("after %d records: overflowed %v", n, overflowed)
				}
				if name == "large messages" {
					if most := transfer.CourierBytes / body; n < most/2 || n > most+2 {
						t.Errorf("%d large messages waited", n)
					}
					return
				}
				s.gateways.is(7, func(a *attempt) { held = append(held, a.pushes...); go a.ok() })
				hung[0].ok()
				synctest.Wait()
				if len(held) != n-1 {
					t.Fatalf("%d pushes, want %d", len(held), n-1)
				}
				s.queue.allDone(t)
			})
		})
	}
}

// What waits holds on to its own bytes, not to the whole record.
func TestWhatWaitsIsCopiedOutOfALargeRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pair(t)
		var hung *attempt
		blobs := map[string]int{}
		s.gateways.is(7, func(a *attempt) { hung = a })
		s.queue.put(0, message(1, 10, 2, "first"), message(1, 10, 9, strings.Repeat("y", 1000)))
		s.queue.put(0, message(1, 10, 9, strings.Repeat("y", 1000)), message(1, 10, 2, "small"), message(1, 10, 2, "too"))
		s.queue.put(0, message(1, 10, 2, strings.Repeat("z", 1000)))
		synctest.Wait()
		s.gateways.is(7, func(a *attempt) {
			for _, push := range a.pushes {
				blobs[name(push.Bytes(0))] = len(push.Blob)
			}
			a.ok()
		})
		hung.ok()
		synctest.Wait()
		s.got(7, 102, "first", "small", "too", strings.Repeat("z", 1000))
		if n := blobs["small"]; n == 0 || n > 300 {
			t.Errorf("two small messages waited with %d bytes", n)
		}
		s.queue.allDone(t)
	})
}
