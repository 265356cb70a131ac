package operate

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s, other Seldom
		if !s.Now() {
			t.Error("the first line was held back")
		}
		for range 99 {
			if s.Now() {
				t.Error("two lines came within a second")
			}
			time.Sleep(seldomPause / 100)
		}
		if !other.Now() {
			t.Error("one reason held the line of another back")
		}
		time.Sleep(seldomPause / 100)
		if !s.Now() {
			t.Error("after a second the next line was held back")
		}
		if s.Now() {
			t.Error("two lines came within a second")
		}
		time.Sleep(time.Hour)
		if !s.Now() || s.Now() {
			t.Error("after an hour one line may come, and one only")
		}
	})
}

// TestSeldomAtOnce: of many who ask at the same time one gets through.
func TestSeldomAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Seldom
		for range 10 {
			var through atomic.Int64
			var asking sync.WaitGroup
			for range 50 {
				asking.Go(func() {
					if s.Now() {
						through.Add(1)
					}
				})
			}
			if asking.Wait(); through.Load() != 1 {
				t.Errorf("%d lines came at once", through.Load())
			}
			time.Sleep(seldomPause)
		}
	})
}

// TestSeldomIsNotByTheCalendar: a clock set back must hold no line back, so what is kept
// is a time since the process began, and no date.
func TestSeldomIsNotByTheCalendar(t *testing.T) {
	var s Seldom
	if !s.Now() {
		t.Fatal("the first line was held back")
	}
	if last := time.Duration(s.last.Load()); last <= 0 || last > Elapsed() {
		t.Errorf("the line came %v after the process began", last)
	}
}
