package operate

import (
	"sync"
	"sync/atomic"
	"testing"
)

// TestRaise: whoever raises a number, and in whatever order, the largest stays.
func TestRaise(t *testing.T) {
	var n atomic.Uint64
	var all sync.WaitGroup
	for first := range uint64(4) {
		all.Go(func() {
			for i := range uint64(10_000) {
				to := 4*i + first
				Raise(&n, to)
				if is := n.Load(); is < to {
					t.Errorf("raised to %d it is %d", to, is)
					return
				}
			}
		})
	}
	all.Wait()
	if is := n.Load(); is != 39_999 {
		t.Errorf("in the end it is %d", is)
	}
	if Raise(&n, 7); n.Load() != 39_999 {
		t.Errorf("it is lowered to %d", n.Load())
	}
}
