package command

import (
	"context"
	"time"

	"gannet/internal/chain"
	"gannet/internal/operate"
)

// lagPause is the time after which a broker that did not answer is asked again.
const lagPause = 100 * time.Millisecond

// waited is a broker that is asked again, for at most lagTime, if it does not say what it has of a
// queue. A node asks again by itself the next time, but a command would have failed, just because a
// broker that was started a moment ago is slow.
type waited struct{ chain.Stream }

// Bounds implements chain.Stream.
func (w waited) Bounds(ctx context.Context, queue chain.Queue) (first, end int64, err error) {
	for deadline := time.Now().Add(lagTime); ; {
		first, end, err = w.Stream.Bounds(ctx, queue)
		if err == nil || time.Now().After(deadline) || operate.Pause(ctx, lagPause) != nil {
			return first, end, err
		}
	}
}
