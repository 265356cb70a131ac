package redis

import (
	"context"
	"time"

	"github.com/go-redis/redis_rate/v10"

	"gannet/internal/limiter"
)

// NewAt makes a Limiter whose clock is now.
func NewAt(shared *redis_rate.Limiter, rates limiter.Rates, now func() time.Time, o Options) *Limiter {
	return newLimiter(shared, func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} }, rates, now, o)
}

// Kept is of how many subjects something is kept.
func (l *Limiter) Kept() (n int) {
	for i := range l.shards {
		n += len(l.shards[i].owed)
	}
	return n
}
