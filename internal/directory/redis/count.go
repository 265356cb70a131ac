package redis

import (
	"context"
	"fmt"

	"gannet/internal/redis"
)

// count gives how many users and devices a bucket has.
var count = redis.NewScript(`
local special = redis.call('HEXISTS', KEYS[1], 'drawn') + redis.call('HEXISTS', KEYS[1], 'life') + redis.call('HEXISTS', KEYS[1], 'devices')
return {redis.call('HLEN', KEYS[1]) - special, tonumber(redis.call('HGET', KEYS[1], 'devices') or 0)}
`)

// Connected is how many users and devices are connected.
type Connected struct{ Users, Devices uint64 }

// Count goes through all buckets and counts the users and devices that are bound. Devices of a
// dead gateway count until they are swept, which takes seconds.
func (d *Directory) Count(ctx context.Context) (all Connected, err error) {
	err = d.each(ctx, func(int) redis.Call { return redis.Call{Script: count} }, func(bucket int, result any) error {
		fields, _ := result.([]any)
		if len(fields) != 2 {
			return fmt.Errorf("directory: %v is no count", result)
		}
		users, ok1 := fields[0].(int64)
		devices, ok2 := fields[1].(int64)
		if !ok1 || !ok2 || users < 0 || devices < 0 {
			return fmt.Errorf("directory: %v is no count", result)
		}
		all.Users += uint64(users)
		all.Devices += uint64(devices)
		return nil
	})
	return all, err
}

// stride is how many buckets one pipeline covers. Other calls wait no longer than for that many
// scripts.
const stride = 64

// each runs a script on every bucket. It sets Keys of each call to the bucket.
func (d *Directory) each(ctx context.Context, call func(bucket int) redis.Call, take func(bucket int, result any) error) error {
	return d.some(ctx, 0, buckets, call, take)
}

// some is like each, but for n buckets from first on.
func (d *Directory) some(ctx context.Context, first, n int, call func(bucket int) redis.Call, take func(bucket int, result any) error) error {
	calls := make([]redis.Call, 0, stride)
	for start := first; start < first+n; start += stride {
		calls = calls[:0]
		for b := start; b < min(start+stride, first+n); b++ {
			c := call(b)
			c.Keys = d.keys[b : b+1]
			calls = append(calls, c)
		}
		results, err := d.client.Run(ctx, calls...)
		if err != nil {
			return err
		}
		for i, result := range results {
			if err := take(start+i, result); err != nil {
				return err
			}
		}
	}
	return nil
}
