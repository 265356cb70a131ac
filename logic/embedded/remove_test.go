package embedded

import (
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// beforeRemoval calls a function before each removal.
type beforeRemoval struct {
	vfs.FS
	call func()
}

func (fs beforeRemoval) Remove(name string) error {
	fs.call()
	return fs.FS.Remove(name)
}

// The removal of an old log is told of while it lasts.
func TestRemovalsAreTold(t *testing.T) {
	var beside, removals, alone atomic.Int64
	opts := Options{
		Lanes:      1,
		Background: func(change int) { beside.Add(int64(change)) },
		FS: beforeRemoval{vfs.NewMem(), func() {
			removals.Add(1)
			if beside.Load() == 0 {
				alone.Add(1)
			}
		}},
	}
	for round := range uint64(3) { // each leaves a log to the next, which has no use for it
		s, err := Open("data", opts)
		if err != nil {
			t.Fatal(err)
		}
		mustSend(t, s, 1, 1, 2, round+1)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if removals.Load() == 0 {
		t.Fatal("nothing was removed")
	}
	if alone.Load() > 0 || beside.Load() != 0 {
		t.Errorf("%d of %d removals were not told of, %d did not end", alone.Load(), removals.Load(), beside.Load())
	}
}
