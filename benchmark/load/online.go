package load

import (
	"context"
	"fmt"
	"time"

	"gannet/benchmark/meter"
)

// Users gives how many users there are.
func (l *Load) Users() int { return len(l.users) }

// AwaitOnline waits until that many users are logged in.
func (l *Load) AwaitOnline(ctx context.Context, users int, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for l.online.Load() != int64(users) {
		if meter.Rest(ctx, quietPoll) != nil {
			_, first := l.LostConnections()
			return fmt.Errorf("benchmark: %d of %d users are logged in, not %d, after %v; the first lost connection was that of %s",
				l.online.Load(), len(l.users), users, patience, first)
		}
	}
	return nil
}
