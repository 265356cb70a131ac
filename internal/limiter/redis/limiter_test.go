//go:build cluster

package redis_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-redis/redis_rate/v10"
	goredis "github.com/redis/go-redis/v9"

	"gannet/internal/limiter"
	"gannet/internal/limiter/limitertest"
	"gannet/internal/limiter/redis"
	"gannet/internal/redis/redistest"
)

// clocked is a client whose scripts see another clock than that of Redis.
type clocked struct {
	goredis.UniversalClient
	now func() time.Time
}

// EvalSha makes the library send the source.
func (c clocked) EvalSha(ctx context.Context, _ string, _ []string, _ ...any) *goredis.Cmd {
	cmd := goredis.NewCmd(ctx)
	cmd.SetErr(goredis.ErrNoScript)
	return cmd
}

// Eval runs the script with the other clock in it.
func (c clocked) Eval(ctx context.Context, script string, keys []string, args ...any) *goredis.Cmd {
	const clock = `redis.call("TIME")`
	if strings.Count(script, clock) != 1 {
		cmd := goredis.NewCmd(ctx)
		cmd.SetErr(errors.New("the script does not ask for the time"))
		return cmd
	}
	now := c.now()
	script = strings.ReplaceAll(script, clock, fmt.Sprintf("{%d, %d}", now.Unix(), now.Nanosecond()/1000))
	return c.UniversalClient.Eval(ctx, script, keys, args...)
}

// settled is a Limiter that has been charged with everything when Take returns: the suite
// lets hours pass between two calls, which takes Redis no time.
type settled struct{ *redis.Limiter }

func (s settled) Take(k limiter.Kind, subject limiter.Subject, n int) time.Duration {
	wait := s.Limiter.Take(k, subject, n)
	s.Flush()
	return wait
}

func openAt(t testing.TB, rates limiter.Rates, now func() time.Time, prefix string, addresses ...string) *redis.Limiter {
	t.Helper()
	client := redistest.Client(t, addresses...)
	l := redis.NewAt(redis_rate.NewLimiter(clocked{client, now}), rates, now, redis.Options{Prefix: prefix})
	t.Cleanup(l.Close)
	return l
}

func TestLimiter(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		limitertest.Run(t, func(t *testing.T, rates limiter.Rates, now func() time.Time) limiter.Limiter {
			l := openAt(t, rates, now, redistest.Prefix(t, addresses...), addresses...)
			t.Cleanup(func() {
				if n := l.Vars()["unanswered"] + l.Vars()["skipped"]; n != 0 {
					t.Errorf("%d charges failed: %v", n, l.Vars())
				}
			})
			return settled{l}
		})
	})
}
