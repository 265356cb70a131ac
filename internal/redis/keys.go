package redis

import (
	"context"
	"fmt"
	"sync"

	goredis "github.com/redis/go-redis/v9"
)

// keysPart is about how many keys are given or removed at once.
const keysPart = 1000

// EachKey gives all keys that begin with a prefix to take, some at a time. A key may come more
// than once; a key that is made or removed meanwhile may come or not. The prefix must not contain
// special characters of a Redis pattern. EachKey scans all keys of the servers, so it is for rare
// work only.
func (c *Client) EachKey(ctx context.Context, prefix string, take func(keys []string) error) error {
	var mu sync.Mutex // several masters are gone through at once
	each := func(ctx context.Context, master *goredis.Client) error {
		for cursor := uint64(0); ; {
			keys, next, err := master.Scan(ctx, cursor, prefix+"*", keysPart).Result()
			if err == nil && len(keys) > 0 {
				mu.Lock()
				err = take(keys)
				mu.Unlock()
			}
			if cursor = next; err != nil || next == 0 {
				return err
			}
		}
	}
	switch of := c.UniversalClient.(type) {
	case *goredis.ClusterClient:
		return of.ForEachMaster(ctx, each)
	case *goredis.Client:
		return each(ctx, of)
	default:
		return fmt.Errorf("redis: a client of the kind %T", of)
	}
}

// Remove removes all keys that begin with a prefix, except one, and returns how many it removed.
// The prefix has the same limits as for EachKey.
func (c *Client) Remove(ctx context.Context, prefix, but string) (removed int, err error) {
	err = c.EachKey(ctx, prefix, func(keys []string) error {
		pipe := c.Pipeline() // one key in each command, because the keys may be in different slots
		var all []*goredis.IntCmd
		for _, key := range keys {
			if key != but {
				all = append(all, pipe.Unlink(ctx, key))
			}
		}
		_, err := pipe.Exec(ctx)
		for _, one := range all {
			removed += int(one.Val())
		}
		return err
	})
	return removed, err
}
