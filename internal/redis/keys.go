package redis

import (
	"context"
	"fmt"
	"sync"

	goredis "github.com/redis/go-redis/v9"
)

// keysPart is about how many keys are given or removed at once.
const keysPart = 1000

// EachKey gives all keys that begin with a prefix to take, some at a time; one that comes or
// goes meanwhile may be given or not, and a key more than once. The prefix has nothing in it
// that a pattern of Redis would take for more than itself. It goes through all keys that
// there are, so it is for rare work.
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

// Remove removes all keys that begin with a prefix, but for one, and gives how many there
// were. What EachKey says of the prefix holds here too.
func (c *Client) Remove(ctx context.Context, prefix, but string) (removed int, err error) {
	err = c.EachKey(ctx, prefix, func(keys []string) error {
		pipe := c.Pipeline() // a key a command, for they may be of several slots
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
