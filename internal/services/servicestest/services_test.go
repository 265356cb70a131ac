//go:build cluster

package servicestest

import (
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// unique gives a name that no other test has.
func unique() string { return "servicestest-" + strings.ToLower(rand.Text()) }

func TestRedisAnswers(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: Redis(t)})
	defer client.Close()
	roundTrip(t, client)
	if policy := client.ConfigGet(t.Context(), "maxmemory-policy").Val()["maxmemory-policy"]; policy != "noeviction" {
		t.Errorf("maxmemory-policy is %q", policy)
	}
}

func TestRedisClusterAnswers(t *testing.T) {
	addresses := RedisCluster(t)
	if len(addresses) != 3 {
		t.Fatalf("the cluster's addresses are %v", addresses)
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addresses})
	defer client.Close()
	for range 32 { // keys that the three masters share
		roundTrip(t, client)
	}
	shards, err := client.ClusterShards(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	covered := int64(0)
	for _, shard := range shards {
		for _, s := range shard.Slots {
			covered += s.End - s.Start + 1
		}
		if len(shard.Nodes) != 1 || shard.Nodes[0].Role != "master" {
			t.Errorf("a shard has the nodes %v", shard.Nodes)
		}
	}
	if covered != 16384 || len(shards) != 3 {
		t.Errorf("%d slots in %d shards", covered, len(shards))
	}
}

func roundTrip(t *testing.T, client redis.Cmdable) {
	t.Helper()
	key := unique()
	if err := client.Set(t.Context(), key, "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
	got, err := client.GetDel(t.Context(), key).Result()
	if err != nil || got != "value" {
		t.Errorf("got %q, %v", got, err)
	}
}

// A part that was killed comes back where it was: with its data, or without them.
func TestKilledRedisComesBack(t *testing.T) {
	services := Own(t, "--only=redis", "--fsync=always")
	client := redis.NewClient(&redis.Options{Addr: services.Address(t, "GANNET_TEST_REDIS"), DialerRetries: 1, MaxRetries: -1})
	defer client.Close()
	if err := client.Set(t.Context(), "key", "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
	services.Kill(t, PartRedis, "KILL")
	if err := client.Ping(t.Context()).Err(); err == nil {
		t.Fatal("a killed Redis answers")
	}
	services.Start(t, PartRedis)
	if got, err := client.Get(t.Context(), "key").Result(); err != nil || got != "value" {
		t.Errorf("after the start: %q, %v", got, err)
	}
	if files, err := os.ReadDir(services.Data(PartRedis)); err != nil || len(files) == 0 {
		t.Errorf("the data: %v, %v", files, err)
	}
	services.Kill(t, PartRedis, "TERM")
	services.StartEmpty(t, PartRedis)
	if n, err := client.DBSize(t.Context()).Result(); err != nil || n != 0 {
		t.Errorf("after the start without data: %d keys, %v", n, err)
	}
}

// TestRedisClusterAlone: a Redis Cluster is started without the one server beside it.
func TestRedisClusterAlone(t *testing.T) {
	s := Own(t, "--only=redis-cluster")
	addresses := s.read(t)
	if one := addresses["GANNET_TEST_REDIS"]; one != "" {
		t.Errorf("one server is there too, at %s", one)
	}
	if n := len(strings.Split(addresses["GANNET_TEST_REDIS_CLUSTER"], ",")); n != 3 {
		t.Errorf("the cluster has %d masters: %v", n, addresses)
	}
}
