package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"
)

// Check asks every master whether gannet can work with it. A process calls it at its start and
// ends with the error, which says what to change.
func (c *Client) Check(ctx context.Context) error {
	err := c.masters(ctx, func(address string, info map[string]string) error {
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
	var silent *noAnswer
	if errors.As(err, &silent) {
		return c.explain(ctx, err)
	}
	return err
}

// noAnswer is why a server gave none that Redis gives.
type noAnswer struct{ error }

func (e *noAnswer) Unwrap() error { return e.error }

// answer gives what came in the place of one: an error that Redis said, or noAnswer.
func answer(err error) error {
	var said goredis.Error
	if err == nil || errors.As(err, &said) {
		return err
	}
	return &noAnswer{err}
}

// explain says what may be behind an address that takes connections and does not answer: all
// that is heard of a server that speaks something else is that the time was up, or that the
// connection ended.
func (c *Client) explain(ctx context.Context, err error) error {
	may := "it may hang, want TLS, or be no Redis"
	if c.tls {
		may = "it may hang, not speak TLS, or be no Redis"
	}
	for _, address := range c.addresses {
		conn, failed := (&net.Dialer{Timeout: c.timeout}).DialContext(ctx, "tcp", address)
		if failed == nil {
			_ = conn.Close()
			return fmt.Errorf("redis: %s takes connections and does not answer as Redis does; %s: %w", address, may, err)
		}
	}
	return err
}

// ErrNoAOF says that a master forgets at a crash what was written since its last snapshot.
var ErrNoAOF = errors.New("redis: it has no append-only file, so a crash takes it back to its last snapshot: set appendonly yes")

// CheckAOF asks every master whether it keeps an append-only file. It gives ErrNoAOF if one does
// not. It asks by INFO, which servers answer that refuse CONFIG.
func (c *Client) CheckAOF(ctx context.Context) error {
	return c.masters(ctx, func(address string, info map[string]string) error {
		switch info["aof_enabled"] {
		case "1":
			return nil
		case "":
			return fmt.Errorf("redis: %s does not tell whether it has an append-only file", address)
		}
		return fmt.Errorf("%w (%s)", ErrNoAOF, address)
	}, "persistence")
}

// Runs gives the run ids of all masters, sorted. A run id that was not there before belongs to a
// server that was restarted, or to a replica that took over. Such a server may have lost newer
// writes.
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

// masters calls visit with the INFO of each master: the named sections, or all of them. visit is
// called for several masters at once.
func (c *Client) masters(ctx context.Context, visit func(address string, info map[string]string) error, sections ...string) error {
	ctx, cancel := c.Within(ctx)
	defer cancel()
	ask := func(ctx context.Context, server *goredis.Client) error {
		text, err := server.Info(ctx, sections...).Result()
		if err != nil {
			return fmt.Errorf("redis: %s: %w", server.Options().Addr, answer(err))
		}
		return visit(server.Options().Addr, parse(text))
	}
	switch client := c.UniversalClient.(type) {
	case *goredis.ClusterClient:
		var mu sync.Mutex
		var first error // of a master; every other error is of finding them
		err := client.ForEachMaster(ctx, func(ctx context.Context, server *goredis.Client) error {
			err := ask(ctx, server)
			mu.Lock()
			defer mu.Unlock()
			first = cmp.Or(first, err)
			return err
		})
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil || first != nil:
			return first
		case !strings.Contains(err.Error(), "cluster support disabled"):
			return answer(err)
		case len(c.addresses) == 1:
			return fmt.Errorf("redis: %s was said to be a member of a cluster (--redis-cluster), and is none", c.addresses[0])
		}
		return errors.New("redis: several addresses are given and they are no cluster: give one address alone")
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
