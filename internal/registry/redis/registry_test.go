//go:build cluster

package redis_test

import (
	"testing"
	"time"

	server "gannet/internal/redis"
	"gannet/internal/redis/redistest"
	"gannet/internal/registry"
	"gannet/internal/registry/redis"
	"gannet/internal/registry/registrytest"
)

// expiry is long for a test and short for a machine that is busy with other things.
const expiry = 2 * time.Second

// open gives the registry as one more process sees it.
func open(t *testing.T, prefix string, addresses ...string) *redis.Registry {
	t.Helper()
	return openBy(t, redistest.Client(t, addresses...), prefix)
}

// openImpatient gives one that does not wait for a server that is away.
func openImpatient(t *testing.T, prefix string, addresses ...string) *redis.Registry {
	t.Helper()
	return openBy(t, redistest.Impatient(t, addresses...), prefix)
}

func openBy(t *testing.T, client *server.Client, prefix string) *redis.Registry {
	t.Helper()
	var r *redis.Registry
	eventually(t, "Redis answers", func() bool {
		var err error
		r, err = redis.Open(t.Context(), client, redis.Options{Prefix: prefix, Expiry: expiry})
		return err == nil
	})
	t.Cleanup(r.Close)
	return r
}

func TestRegistry(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		registrytest.Test(t, func(t *testing.T) registrytest.Site {
			prefix := redistest.Prefix(t, addresses...)
			return registrytest.Site{
				Open:   func() registry.Registry { return open(t, prefix, addresses...) },
				Halt:   func(r registry.Registry) { r.(*redis.Registry).Halt() },
				Resume: func(r registry.Registry) { r.(*redis.Registry).Resume() },
			}
		})
	})
}
