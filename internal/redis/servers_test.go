//go:build cluster

package redis_test

import (
	"crypto/tls"
	"errors"
	"net"
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

// TestCheckSaysWhatMayBeBehindAnAddress: of a server that takes connections and does not answer
// as Redis does one hears nothing else than that.
func TestCheckSaysWhatMayBeBehindAnAddress(t *testing.T) {
	server := servicestest.OwnRedis(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // and nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, c := range []struct {
		options redis.Options
		says    []string
	}{
		{redis.Options{Addresses: []string{server.Address}, TLS: &tls.Config{}}, []string{server.Address + " takes connections", "not speak TLS"}},
		{redis.Options{Addresses: []string{server.Address, server.Address}, TLS: &tls.Config{}}, []string{server.Address + " takes connections", "not speak TLS"}},
		{redis.Options{Addresses: []string{silent.Addr().String()}}, []string{silent.Addr().String() + " takes connections", "want TLS, or be no Redis"}},
		{redis.Options{Addresses: []string{server.Address}, Cluster: true}, []string{"redis: " + server.Address + " was said to be a member of a cluster (--redis-cluster), and is none"}},
		{redis.Options{Addresses: []string{"127.0.0.1:1"}}, []string{"refused"}},
	} {
		if c.options.Addresses[0] != silent.Addr().String() {
			c.options.Timeout = 20 * time.Second
		}
		client, err := redis.New(c.options)
		if err != nil {
			t.Fatal(err)
		}
		err = client.Check(t.Context())
		_ = client.Close()
		for _, says := range c.says {
			if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "takes") && strings.Contains(err.Error(), "refused") {
				t.Errorf("%+v: %v, not %q", c.options, err, says)
			}
		}
	}
}

// TestCheckAOF: a server with an append-only file is told from one without.
func TestCheckAOF(t *testing.T) {
	server := servicestest.OwnRedis(t, "--appendonly", "yes", "--rename-command", "CONFIG", "")
	if err := redistest.Client(t, server.Address).CheckAOF(t.Context()); err != nil {
		t.Errorf("with appendonly yes: %v", err)
	}
	if err := redistest.Client(t, servicestest.OwnRedis(t).Address).CheckAOF(t.Context()); !errors.Is(err, redis.ErrNoAOF) {
		t.Errorf("with appendonly no: %v", err)
	}
}

// TestPassword: a server with a password is worked with by those who have it.
func TestPassword(t *testing.T) {
	server := servicestest.OwnRedis(t)
	client := redistest.Client(t, server.Address)
	if err := client.ConfigSet(t.Context(), "requirepass", "secret").Err(); err != nil {
		t.Fatal(err)
	}
	for password, fine := range map[string]bool{"secret": true, "wrong": false} {
		c, err := redis.New(redis.Options{Addresses: []string{server.Address}, Password: password, Timeout: 20 * time.Second})
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
