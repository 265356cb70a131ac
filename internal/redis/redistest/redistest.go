//go:build cluster

// Package redistest gives tests of adapters clients of the Redis servers that they need.
package redistest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"gannet/internal/redis"
	"gannet/internal/services/servicestest"
)

// Each runs a test against one server and against a cluster.
func Each(t *testing.T, test func(t *testing.T, addresses []string)) {
	t.Run("server", func(t *testing.T) { test(t, []string{servicestest.Redis(t)}) })
	t.Run("cluster", func(t *testing.T) { test(t, servicestest.RedisCluster(t)) })
}

// EachBench is Each for benchmarks.
func EachBench(b *testing.B, bench func(b *testing.B, addresses []string)) {
	b.Run("server", func(b *testing.B) { bench(b, []string{servicestest.Redis(b)}) })
	b.Run("cluster", func(b *testing.B) { bench(b, servicestest.RedisCluster(b)) })
}

// Client gives a client that ends with the test. It waits for a machine that is busy.
func Client(t testing.TB, addresses ...string) *redis.Client {
	t.Helper()
	return client(t, patience, addresses)
}

// patience is the time-out of a client that waits for a machine that is busy.
const patience = 20 * time.Second

// Impatient gives a client with the time-out of a server in use.
func Impatient(t testing.TB, addresses ...string) *redis.Client {
	t.Helper()
	return client(t, redis.DefaultTimeout, addresses)
}

func client(t testing.TB, timeout time.Duration, addresses []string) *redis.Client {
	t.Helper()
	c, err := redis.New(redis.Options{Addresses: addresses, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Prefix gives a prefix of keys that no other test has. Keys that begin with it, also as a hash
// tag, are removed after the test.
func Prefix(t testing.TB, addresses ...string) string {
	t.Helper()
	prefix := fmt.Sprintf("test%08x", rand.Uint32())
	t.Cleanup(func() {
		c, err := redis.New(redis.Options{Addresses: addresses, Timeout: patience})
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		if err := remove(c, "*"+prefix+"*"); err != nil {
			t.Errorf("keys of the test are left: %v", err)
		}
	})
	return prefix
}

func remove(c *redis.Client, pattern string) error {
	ctx := context.Background()
	each := func(ctx context.Context, server *goredis.Client) error {
		keys := server.Scan(ctx, 0, pattern, 10_000).Iterator()
		for keys.Next(ctx) {
			if err := server.Del(ctx, keys.Val()).Err(); err != nil {
				return err
			}
		}
		return keys.Err()
	}
	switch client := c.UniversalClient.(type) {
	case *goredis.ClusterClient:
		return client.ForEachMaster(ctx, each)
	case *goredis.Client:
		return each(ctx, client)
	}
	return nil
}
