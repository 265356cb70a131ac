package embedded

import (
	"testing"
	"testing/synctest"
	"time"

	"gannet/internal/operate"
)

func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pause
		if p.left() != 0 {
			t.Errorf("before any failure %v are left", p.left())
		}
		p.begin()
		if p.left() != retryPause {
			t.Errorf("at its begin %v are left", p.left())
		}
		time.Sleep(retryPause - time.Millisecond)
		p.begin()
		if p.left() != retryPause {
			t.Errorf("after another failure %v are left", p.left())
		}
		time.Sleep(retryPause)
		if p.left() != 0 {
			t.Errorf("after its end %v are left", p.left())
		}
	})
}

// TestPauseIsNotByTheCalendar: a clock set back must not make it longer, so what is kept
// is a time since the process began, and no date.
func TestPauseIsNotByTheCalendar(t *testing.T) {
	var p pause
	p.begin()
	if until := time.Duration(p.until.Load()); until > operate.Elapsed()+retryPause {
		t.Errorf("the pause ends %v after the process began", until)
	}
}
