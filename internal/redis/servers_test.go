//go:build cluster

package redis_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"gannet/internal/redis"
	"gannet/internal/redis/redistest"
	"gannet/internal/services/servicestest"
)

func TestCheck(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		if err := redistest.Client(t, addresses...).Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// wantRefused checks that a client is refused with a sentence that has the words.
func wantRefused(t *testing.T, c *redis.Client, words string) {
	t.Helper()
	if err := c.Check(t.Context()); err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("the check says %v, want %q in it", err, words)
	}
}

func TestCheckRefuses(t *testing.T) {
	cluster := servicestest.RedisCluster(t)
	server := servicestest.OwnRedis(t)
	client := redistest.Client(t, server.Address)
	if err := client.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, policy := range []string{"allkeys-lru", "volatile-ttl"} {
		if err := client.ConfigSet(t.Context(), "maxmemory-policy", policy).Err(); err != nil {
			t.Fatal(err)
		}
		wantRefused(t, client, policy)
		wantRefused(t, client, "set it to noeviction")
	}
	if err := client.ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.SlaveOf(t.Context(), "127.0.0.1", "1").Err(); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, client, "is a replica")
	if err := client.SlaveOf(t.Context(), "no", "one").Err(); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, redistest.Client(t, cluster[0]), "member of a cluster")
	wantRefused(t, redistest.Client(t, server.Address, server.Address), "no cluster")
	server.Kill()
	wantRefused(t, client, server.Address)
}

// TestPassword: a server with a password is worked with by those who have it.
func TestPassword(t *testing.T) {
	server := servicestest.OwnRedis(t)
	client := redistest.Client(t, server.Address)
	if err := client.ConfigSet(t.Context(), "requirepass", "secret").Err(); err != nil {
		t.Fatal(err)
	}
	for password, fine := range map[string]bool{"secret": true, "wrong": false} {
		c, err := redis.New(redis.Options{Addresses: []string{server.Address}, Password: password})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Check(t.Context()); (err == nil) != fine {
			t.Errorf("with the password %q: %v", password, err)
		}
		_ = c.Close()
	}
}

func TestRuns(t *testing.T) {
	runs, err := redistest.Client(t, servicestest.RedisCluster(t)...).Runs(t.Context())
	if err != nil || len(runs) != 3 || !slices.IsSorted(runs) || len(slices.Compact(runs)) != 3 {
		t.Errorf("three masters have the run ids %q, %v", runs, err)
	}
	server := servicestest.OwnRedis(t)
	client := redistest.Client(t, server.Address)
	before, err := client.Runs(t.Context())
	if err != nil || len(before) != 1 || len(before[0]) != 40 {
		t.Fatalf("%q, %v", before, err)
	}
	if again, err := client.Runs(t.Context()); err != nil || !slices.Equal(again, before) {
		t.Errorf("asked again: %q, %v", again, err)
	}
	server.Kill()
	if runs, err := client.Runs(t.Context()); err == nil {
		t.Errorf("a server that is not there gives %q", runs)
	}
	server.Start()
	if after, err := client.Runs(t.Context()); err != nil || len(after) != 1 || after[0] == before[0] {
		t.Errorf("before the restart %q, after it %q, %v", before, after, err)
	}
}

// TestTimeout: a server that stands still holds nobody up for much longer than the
// timeout, and one server is asked once.
func TestTimeout(t *testing.T) {
	server := servicestest.OwnRedis(t)
	client, impatient := redistest.Client(t, server.Address), redistest.Impatient(t, server.Address)
	count := redis.NewScript(`return redis.call('INCR', KEYS[1])`)
	call := redis.Call{Script: count, Keys: []string{"n"}}
	if got, err := client.Run(t.Context(), call); err != nil || got[0] != int64(1) {
		t.Fatalf("%v, %v", got, err)
	}
	server.Stop()
	began := time.Now()
	got, err := impatient.Run(t.Context(), call)
	if took := time.Since(began); err == nil || took > 10*redis.DefaultTimeout {
		t.Errorf("a server that stands still answers %v, %v after %v", got, err, took)
	}
	server.Continue()
	if got, err := client.Run(t.Context(), call); err != nil || got[0] != int64(3) && got[0] != int64(2) {
		t.Errorf("after three calls the count is %v, %v", got, err)
	}
}

// TestRun: results come in order; a script that the server does not know is sent, and one
// that fails does so alone.
func TestRun(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		client := redistest.Client(t, addresses...)
		prefix := redistest.Prefix(t, addresses...)
		fresh := redis.NewScript(`return {KEYS[1], ARGV[1], '` + prefix + `'}`)
		if got, err := client.Run(t.Context()); err != nil || len(got) != 0 {
			t.Errorf("nothing gives %v, %v", got, err)
		}
		for range 2 {
			var calls []redis.Call
			for i := range 50 {
				calls = append(calls, redis.Call{Script: fresh, Keys: []string{prefix + string(rune('a'+i))}, Args: []any{i}})
			}
			got, err := client.Run(t.Context(), calls...)
			if err != nil || len(got) != 50 {
				t.Fatalf("%d results, %v", len(got), err)
			}
			for i, result := range got {
				fields, _ := result.([]any)
				if len(fields) != 3 || fields[0] != calls[i].Keys[0] || fields[2] != prefix {
					t.Fatalf("result %d is %v", i, result)
				}
			}
		}
		wrong := redis.NewScript(`return redis.call('NONE', KEYS[1], '` + prefix + `')`)
		if got, err := client.Run(t.Context(), redis.Call{Script: wrong, Keys: []string{prefix}}); err == nil {
			t.Errorf("a script that fails gives %v", got)
		}
		nothing := redis.NewScript(`return false`)
		if got, err := client.Run(t.Context(), redis.Call{Script: nothing, Keys: []string{prefix}}); err != nil || got[0] != nil {
			t.Errorf("a script that gives nothing gives %v, %v", got, err)
		}
	})
}
