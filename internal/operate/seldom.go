package operate

import (
	"sync/atomic"
	"time"
)

// seldomPause is the least time between two log lines for one reason: a peer that
// does the same thing a thousand times a second fills no disk.
const seldomPause = time.Second

// Seldom lets one log line a second through. Each reason has its own Seldom. Lines that it holds
// back should be counted elsewhere. The zero value is ready to use. Any number of goroutines may
// use it.
type Seldom struct{ last atomic.Int64 } // by Elapsed

// Now says whether a line may be written now.
func (s *Seldom) Now() bool {
	now, last := int64(Elapsed()), s.last.Load()
	return (last == 0 || now-last >= int64(seldomPause)) && s.last.CompareAndSwap(last, now)
}
