package embedded

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

func TestAFlushMayWriteWhatTheLoadLeavesTimeFor(t *testing.T) {
	for _, tc := range []struct {
		committed int64
		in        time.Duration
		want      int64
	}{
		{0, 0, paceAhead},
		{0, time.Second, paceAhead + paceFloor},
		{1 << 20, 0, paceAhead + 5<<18},
		{memTableSize / 5 * 4, time.Second, paceAhead + memTableSize/5*5 + paceFloor}, // done before the next one is full
	} {
		if got := allowed(tc.committed, tc.in); got != tc.want {
			t.Errorf("%d bytes for %d committed in %v, want %d", got, tc.committed, tc.in, tc.want)
		}
	}
}

// The flush of a store that is written to rests now and then, and is done all the
// same.
func TestFlushesKeepTheirPace(t *testing.T) {
	const messages = 8000 // of about 150 bytes: a second at paceFloor is more than that
	dir := t.TempDir()
	open := func() *Store {
		t.Helper()
		s, err := Open(dir, Options{Lanes: 1, tune: func(o *pebble.Options) { o.DisableAutomaticCompactions = true }})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	last := uint64(0) // message sent
	send := func(s *Store) {
		t.Helper()
		for range messages / 500 {
			b := new(entries)
			for range 500 {
				last++
				b.send(1, 1, 2, last)
			}
			if err := b.appendTo(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := open()
	send(s)
	done, err := s.db.AsyncFlush()
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.After(30 * time.Second)
	for s.flushes.held.Load() == 0 {
		select {
		case <-done:
			t.Fatal("the flush never had to rest")
		case <-deadline:
			t.Fatal("the flush neither rests nor ends")
		case <-time.After(time.Millisecond):
		}
	}
	select {
	case <-done:
	case <-deadline:
		t.Fatal("the flush has not ended")
	}
	send(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// Nothing is held back where somebody waits: when the log is replayed, and once
	// the store closes.
	s = open()
	defer s.Close()
	if n := s.flushes.held.Load(); n != 0 {
		t.Errorf("a flush rested %d times while the store was being opened", n)
	}
	send(s)
	s.flushes.off.Store(true)
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if n := s.flushes.held.Load(); n != 0 {
		t.Errorf("a flush rested %d times while the store was closing", n)
	}
	if head := mustSend(t, s, 1, 1, 2, last+1).Seq; head != last+1 {
		t.Errorf("seq %d after %d messages", head, last)
	}
}
