package gateway

import (
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// The wheel against a list of deadlines: everybody fires at the tick that was
// asked for, also beyond one turn, and never when taken out.
func TestWheelFiresEverybodyOnTime(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 2))
		var w wheel
		sessions := make([]*session, 50)
		want := map[*session]int64{}
		for i := range sessions {
			sessions[i] = &session{}
		}
		for now := int64(1); now < 4*wheelSlots; now++ {
			for range r.IntN(4) {
				s := sessions[r.IntN(len(sessions))]
				switch r.IntN(5) {
				case 0:
					w.remove(s)
					delete(want, s)
				default:
					due := w.now() + 1 + r.Int64N(3*wheelSlots)
					w.schedule(s, due)
					if at, ok := want[s]; !ok || due < at {
						want[s] = due
					}
				}
			}
			for _, s := range w.advance(nil) {
				if want[s] != now {
					t.Fatalf("seed %d: fired at %d, due at %d", seed, now, want[s])
				}
				delete(want, s)
			}
			for s, due := range want {
				if due <= now {
					t.Fatalf("seed %d: tick %d, and %p has waited since %d", seed, now, s, due)
				}
			}
		}
	}
}

func TestWheelTakesWhatIsOverdueAtTheNextTick(t *testing.T) {
	var w wheel
	w.advance(nil)
	w.advance(nil)
	s := &session{}
	w.schedule(s, 1)
	if fired := w.advance(nil); len(fired) != 1 || fired[0] != s {
		t.Errorf("fired %v", fired)
	}
}

// Whoever schedules last does not put off what another has asked for earlier.
func TestWheelKeepsTheEarliestOfTwo(t *testing.T) {
	var w wheel
	late := 0
	for range 20_000 {
		s := &session{}
		w.mu.Lock() // both have looked before either is let in
		var pair sync.WaitGroup
		pair.Go(func() { w.schedule(s, w.now()+3000) })
		pair.Go(func() { w.schedule(s, w.now()+1) })
		runtime.Gosched()
		w.mu.Unlock()
		pair.Wait()
		if s.timer.due.Load() > w.now()+1 {
			late++
		}
		w.remove(s)
	}
	if late > 0 {
		t.Errorf("%d early deadlines were put off by a later one", late)
	}
}

// The wheel goes by the monotonic clock: where it starts from has such a reading, which
// alone time.Since compares then, whatever becomes of the wall clock.
func TestWheelGoesByTheMonotonicClock(t *testing.T) {
	var w wheel
	s := &session{}
	w.schedule(s, 3)
	stop, ended, fired := make(chan struct{}), make(chan struct{}), make(chan *session, 1)
	go func() {
		defer close(ended)
		w.run(stop, func(s *session) { fired <- s })
	}()
	if got := <-fired; got != s {
		t.Errorf("%p fired, want %p", got, s)
	}
	close(stop)
	<-ended
	if !strings.Contains(w.start.String(), " m=") {
		t.Errorf("the start %v has no monotonic reading", w.start)
	}
}
