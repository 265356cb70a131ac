package load

import (
	"context"
	"fmt"
	"time"

	"gannet/benchmark/meter"
	"gannet/benchmark/report"
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

// begun gives how many users have had a message acked in each of their conversations.
func (l *Load) begun() (n int) {
	for _, u := range l.users {
		if u.acked.Load() >= uint64(len(u.checks)) {
			n++
		}
	}
	return n
}

// AwaitBegun waits, after Send, until every user has had a message acked in each of their
// conversations, so that none begins any more; line shows how far it is. It gives up when
// nothing has moved for long.
func (l *Load) AwaitBegun(ctx context.Context, line *report.Progress) error {
	moved, told, last := time.Now(), time.Now(), l.Counts().Acked
	for {
		begun := l.begun()
		if begun == len(l.users) {
			return nil
		}
		now := l.Counts().Acked
		if now != last {
			moved, last = time.Now(), now
		}
		if still := time.Since(moved); still > l.patience {
			return fmt.Errorf("benchmark: nothing was acked for %.0f s, and %d of %d users had not begun all conversations",
				still.Seconds(), len(l.users)-begun, len(l.users))
		}
		if time.Since(told) >= time.Second {
			told = time.Now()
			line.Showf("beginning conversations: %s messages acked, %d of %d users are done", report.Number(float64(now)), begun, len(l.users))
		}
		if err := meter.Rest(ctx, quietPoll); err != nil {
			return err
		}
	}
}
