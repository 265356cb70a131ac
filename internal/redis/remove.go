package redis

import (
	"context"
	"fmt"
	"sync/atomic"

	goredis "github.com/redis/go-redis/v9"
)

// removePart is how many keys are removed at once.
const removePart = 1000

// Remove removes all keys that begin with a prefix, but for one, and gives how many there
// were. The prefix has nothing in it that a pattern of Redis would take for more than
// itself. It goes through all keys that there are, so it is for rare work of an operator.
func (c *Client) Remove(ctx context.Context, prefix, but string) (keys int, err error) {
	var removed atomic.Int64 // masters are gone through at once
	each := func(ctx context.Context, master *goredis.Client) error {
		var part []string
		remove := func() error {
			if len(part) == 0 {
				return nil
			}
			// One key a command: those of a part may be of several slots.
			pipe := master.Pipeline()
			for _, key := range part {
				pipe.Unlink(ctx, key)
			}
			_, err := pipe.Exec(ctx)
			removed.Add(int64(len(part)))
			part = part[:0]
			return err
		}
		all := master.Scan(ctx, 0, prefix+"*", removePart).Iterator()
		for all.Next(ctx) {
			if all.Val() == but {
				continue
			}
			if part = append(part, all.Val()); len(part) == removePart {
				if err := remove(); err != nil {
					return err
				}
			}
		}
		if err := all.Err(); err != nil {
			return err
		}
		return remove()
	}
	switch of := c.UniversalClient.(type) {
	case *goredis.ClusterClient:
		err = of.ForEachMaster(ctx, each)
	case *goredis.Client:
		err = each(ctx, of)
	default:
		err = fmt.Errorf("redis: a client of the kind %T", of)
	}
	return int(removed.Load()), err
}
