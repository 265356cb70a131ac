//go:build cluster

package redis_test

import (
	"context"
	"net"
	"strconv"
	"sync"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"gannet/internal/redis"
	"gannet/internal/redis/redistest"
	"gannet/internal/services/servicestest"
)

// TestMoved: slots that move to another master take their users along, and whoever knows
// the old place finds the new one. In the end they are moved back.
func TestMoved(t *testing.T) {
	addresses := servicestest.RedisCluster(t)
	prefix := redistest.Prefix(t, addresses...)
	c := redistest.Client(t, addresses...)
	d, second := openAt(t, prefix, addresses...), openAt(t, prefix, addresses...)
	const users = 64
	for user := uint64(1); user <= users; user++ {
		bind(t, d, bindOf(user, 1, 1, 7, user))
		wantConns(t, second, user, user)
	}
	masters := mastersOf(t, c)
	from, to := masters[0], masters[1]
	var slots []int64
	for b := 0; b < 4096 && len(slots) < 5; b++ {
		key := "{" + prefix + ":directory:" + strconv.Itoa(b) + "}"
		slot, err := c.ClusterKeySlot(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		holder, err := c.UniversalClient.(*goredis.ClusterClient).MasterForKey(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if there, err := c.Exists(t.Context(), key).Result(); err != nil {
			t.Fatal(err)
		} else if there == 1 && holder.Options().Addr == from.client.Options().Addr {
			slots = append(slots, slot)
		}
	}
	if len(slots) < 5 {
		t.Fatalf("only %d slots are there to be moved", len(slots))
	}
	for _, slot := range slots {
		move(t, slot, from, to, masters)
	}
	for user := uint64(1); user <= users; user++ {
		wantConns(t, second, user, user)
		bind(t, d, bindOf(user, 1, 2, 7, user+users))
		wantConns(t, second, user, user+users)
	}
	for _, slot := range slots {
		move(t, slot, to, from, masters)
	}
	for user := uint64(1); user <= users; user++ {
		wantConns(t, second, user, user+users)
		if err := d.Unbind(t.Context(), bindsOf(user, 1, 2, 7, user+users)); err != nil {
			t.Fatal(err)
		}
		wantConns(t, second, user)
	}
}

// master is one of a cluster.
type master struct {
	id     string
	client *goredis.Client
}

func mastersOf(t *testing.T, c *redis.Client) (masters []master) {
	t.Helper()
	var mu sync.Mutex
	err := c.UniversalClient.(*goredis.ClusterClient).ForEachMaster(t.Context(), func(ctx context.Context, client *goredis.Client) error {
		id, err := client.Do(ctx, "cluster", "myid").Text()
		mu.Lock()
		defer mu.Unlock()
		masters = append(masters, master{id, client})
		return err
	})
	if err != nil || len(masters) != 3 {
		t.Fatalf("%d masters, %v", len(masters), err)
	}
	return masters
}

// move takes a slot from one master to another, with all its keys, and tells every master,
// as redis-cli does.
func move(t *testing.T, slot int64, from, to master, all []master) {
	t.Helper()
	do := func(m master, args ...any) any {
		t.Helper()
		got, err := m.client.Do(t.Context(), args...).Result()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return got
	}
	do(to, "cluster", "setslot", slot, "importing", from.id)
	do(from, "cluster", "setslot", slot, "migrating", to.id)
	host, port, err := net.SplitHostPort(to.client.Options().Addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range do(from, "cluster", "getkeysinslot", slot, 1000).([]any) {
		do(from, "migrate", host, port, key, 0, 5000)
	}
	do(to, "cluster", "setslot", slot, "node", to.id)
	for _, m := range all {
		do(m, "cluster", "setslot", slot, "node", to.id)
	}
}
