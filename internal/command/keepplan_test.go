//go:build cluster

package command

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"gannet/internal/cluster"
	clusterredis "gannet/internal/cluster/redis"
	"gannet/internal/redis"
	"gannet/internal/services/servicestest"
)

// A plan that Redis lost is there again for whoever starts.
func TestRedisGetsThePlanBack(t *testing.T) {
	client, err := redis.New(redis.Options{Addresses: []string{servicestest.Redis(t)}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	name := fmt.Sprintf("test%d", rand.Uint32())
	plan, err := cluster.New(name, 2, []string{"broker"})
	if err != nil {
		t.Fatal(err)
	}
	near := clusterredis.Copy{Client: client, Name: name}
	if _, err := near.Save(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	defer client.Del(context.Background(), name+":plan")

	n := &node{live: &live{client: client}, plan: plan, log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(t.Context())
	var keeping sync.WaitGroup
	keeping.Go(func() { n.keepPlan(ctx, name) })
	defer func() { cancel(); keeping.Wait() }()
	if err := client.Del(t.Context(), name+":plan").Err(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		kept, err := near.Load(t.Context())
		if err == nil && kept != nil {
			if !kept.Equal(plan) {
				t.Errorf("Redis has another plan: %+v", kept)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatalf("Redis has no plan within a minute: %v", err)
		}
	}
}
