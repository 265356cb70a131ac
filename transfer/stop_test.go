package transfer_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gannet/internal/directory"
	"gannet/internal/hop"
)

// stops checks that Stop returns within some seconds.
func (s *scene) stops() {
	s.t.Helper()
	begin := time.Now()
	s.server.Stop()
	if took := time.Since(begin); took > 5*time.Second {
		s.t.Errorf("Stop took %v", took)
	}
}

// Gateways that hang keep Stop for a moment only. What they have not taken is not
// done, so that it comes to the next follower, and nothing is pushed any more.
func TestStopWhileAGatewayHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pair(t)
		var hung []*attempt
		s.gateways.is(7, func(a *attempt) { hung = append(hung, a) })
		s.queue.put(0, message(1, 10, 2, "a"), message(1, 10, 3, "a"))
		s.queue.put(0, message(1, 10, 2, "b"))
		s.queue.put(0, message(1, 10, 3, "c"))
		synctest.Wait()
		s.stops()
		for mark, want := range map[uint64]int{1: 0, 2: 0, 3: 1} {
			if n := s.queue.times(mark); n != want {
				t.Errorf("record %d was done %d times, want %d", mark, n, want)
			}
		}
		tries := len(hung)
		hung[tries-1].ok()
		synctest.Wait()
		if len(hung) != tries {
			t.Error("it pushes on after Stop")
		}
		if n := s.queue.times(1); n != 1 {
			t.Errorf("a record that was taken at last was done %d times", n)
		}
		s.server.Stop() // once more, by the clean-up too
	})
}

// Stop lets gateways finish that only need a little longer.
func TestStopWaitsALittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pair(t)
		s.gateways.is(7, func(a *attempt) { go func() { time.Sleep(300 * time.Millisecond); a.ok() }() })
		for range 3 {
			s.queue.put(0, message(1, 10, 2, "a"))
		}
		s.stops()
		s.got(7, 102, "a", "a", "a")
		s.queue.allDone(t)
	})
}

// A follower that waits for the directory ends with Stop; its record is not done.
func TestStopWhileTheDirectoryDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := directed(t, func(int, []directory.Lookup) ([]directory.Answer, []directory.Device, error) {
			return nil, nil, errors.New("no answer")
		})
		s.queue.put(0, message(1, 10, 2, "a"))
		synctest.Wait()
		s.stops()
		if n := s.queue.times(1); n != 0 {
			t.Errorf("the record was done %d times", n)
		}
		s.got(7, 102)
	})
}

// Receipts that come after Stop go nowhere.
func TestReceiptsAfterStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pair(t)
		s.stops()
		var r *hop.Record
		for range 3 {
			r = record(0, 0, receipt(3, 10, 2))
			if err := s.server.Receipts(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		s.got(7, 102)
	})
}
