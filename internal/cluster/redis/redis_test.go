//go:build cluster

package redis_test

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"testing"

	"gannet/internal/cluster"
	clusterredis "gannet/internal/cluster/redis"
	"gannet/internal/redis"
	"gannet/internal/services/servicestest"
)

// Of several nodes that start a cluster at once one makes the plan, and all have it.
func TestOnePlanWins(t *testing.T) {
	for name, options := range map[string]redis.Options{
		"one server": {Addresses: []string{servicestest.Redis(t)}},
		"cluster":    {Addresses: servicestest.RedisCluster(t), Cluster: true},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := redis.New(options)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			c := clusterredis.Copy{Client: client, Name: "t" + strings.ToLower(rand.Text()[:12])}
			t.Cleanup(func() { client.Del(context.Background(), c.Name+":plan") })
			if p, err := c.Load(t.Context()); p != nil || err != nil {
				t.Fatalf("before: %v, %v", p, err)
			}
			var all sync.WaitGroup
			plans := make([]*cluster.Plan, 8)
			for i := range plans {
				all.Go(func() {
					mine, err := cluster.New(c.Name, 2, []string{"a"})
					if err == nil {
						plans[i], err = c.Save(t.Context(), mine)
					}
					if err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			kept, err := c.Load(t.Context())
			if err != nil || kept == nil {
				t.Fatalf("after: %v, %v", kept, err)
			}
			for _, p := range plans {
				if p == nil || !p.Equal(kept) {
					t.Errorf("a node has %v, kept is %v", p, kept)
				}
			}
			if err := client.Set(t.Context(), c.Name+":plan", "{}", 0).Err(); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Load(t.Context()); err == nil {
				t.Error("a broken plan is taken")
			}
		})
	}
}
