package embedded

import (
	"sync/atomic"
	"time"

	"gannet/internal/operate"
)

// retryPause is how long a flush or compaction waits after one that failed. Pebble
// itself tries again at once, which on a full or damaged disk takes a core for nothing.
const retryPause = time.Second

// pause is the time after a failure in which nothing is tried again. It goes by the
// clock that nobody sets. The zero value is over.
type pause struct{ until atomic.Int64 } // by operate.Elapsed; 0: nothing failed yet

func (p *pause) begin() { p.until.Store(int64(operate.Elapsed() + retryPause)) }

// left gives what is left of it, 0 once it is over.
func (p *pause) left() time.Duration {
	until := time.Duration(p.until.Load())
	if until == 0 {
		return 0
	}
	return max(0, until-operate.Elapsed())
}
