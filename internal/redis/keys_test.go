//go:build cluster

package redis_test

import (
	"fmt"
	"testing"

	"gannet/internal/redis/redistest"
	"gannet/internal/services/servicestest"
)

// TestRemove: more keys than go at once, of which one stays, and none of another prefix goes.
func TestRemove(t *testing.T) {
	for name, addresses := range map[string][]string{"alone": {servicestest.Redis(t)}, "cluster": servicestest.RedisCluster(t)} {
		t.Run(name, func(t *testing.T) {
			client, prefix := redistest.Client(t, addresses...), redistest.Prefix(t, addresses...)
			of := prefix + ".a"
			pipe := client.Pipeline()
			for i := range 2500 {
				pipe.Set(t.Context(), fmt.Sprintf("%s.%d", of, i), "x", 0)
			}
			pipe.Set(t.Context(), prefix+".b", "x", 0)
			if _, err := pipe.Exec(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n, err := client.Remove(t.Context(), of, of+".7"); err != nil || n != 2499 {
				t.Fatalf("%d keys are removed, %v", n, err)
			}
			for key, want := range map[string]int64{of + ".7": 1, of + ".8": 0, of + ".2499": 0, prefix + ".b": 1} {
				if n, err := client.Exists(t.Context(), key).Result(); err != nil || n != want {
					t.Errorf("of %s there are %d, %v; want %d", key, n, err, want)
				}
			}
		})
	}
}
