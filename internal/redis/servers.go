package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"
)

// Check asks every master whether it can be worked with. It is for the start of a
// process, which ends with the error: it says what to change.
func (c *Client) Check(ctx context.Context) error {
	return c.masters(ctx, func(address string, info map[string]string) error {
		switch clustered := info["cluster_enabled"] == "1"; {
		case info["role"] != "master":
			return fmt.Errorf("redis: %s is a replica: give the address of its master", address)
		case clustered && !c.cluster:
			return fmt.Errorf("redis: %s is a member of a cluster: give the addresses of several members", address)
		case !clustered && c.cluster:
			return fmt.Errorf("redis: %s is no member of a cluster: give its address alone", address)
		}
		if policy := info["maxmemory_policy"]; policy != "noeviction" {
			return fmt.Errorf("redis: %s has maxmemory-policy %q, which throws away what is still needed: set it to noeviction", address, policy)
		}
		return nil
	})
}

// Runs gives the run ids of all masters, sorted. One that was not there before is of a
// server that was restarted or a replica that took over: it may know less than what
// was written.
func (c *Client) Runs(ctx context.Context) ([]string, error) {
	var mu sync.Mutex
	var runs []string
	err := c.masters(ctx, func(address string, info map[string]string) error {
		run := info["run_id"]
		if run == "" {
			return fmt.Errorf("redis: %s does not give its run id", address)
		}
		mu.Lock()
		defer mu.Unlock()
		runs = append(runs, run)
		return nil
	}, "server") // everything takes a server twenty times as long, and owners ask every second
	if err != nil {
		return nil, err
	}
	slices.Sort(runs)
	return runs, nil
}

// masters calls visit with what each master says of itself, for several at once: the sections
// that are named, or everything.
func (c *Client) masters(ctx context.Context, visit func(address string, info map[string]string) error, sections ...string) error {
	ctx, cancel := c.Within(ctx)
	defer cancel()
	ask := func(ctx context.Context, server *goredis.Client) error {
		text, err := server.Info(ctx, sections...).Result()
		if err != nil {
			return fmt.Errorf("redis: %s: %w", server.Options().Addr, err)
		}
		return visit(server.Options().Addr, parse(text))
	}
	switch client := c.UniversalClient.(type) {
	case *goredis.ClusterClient:
		err := client.ForEachMaster(ctx, ask)
		if err != nil && strings.Contains(err.Error(), "cluster support disabled") {
			err = errors.New("redis: several addresses are given and they are no cluster: give one address alone")
		}
		return err
	case *goredis.Client:
		return ask(ctx, client)
	default:
		return fmt.Errorf("redis: a client of type %T has no masters", client)
	}
}

// parse takes the answer to INFO apart.
func parse(text string) map[string]string {
	info := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}

func line(format string, v ...any) string { return strings.TrimSpace(fmt.Sprintf(format, v...)) }
