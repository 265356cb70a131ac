// Package redis keeps the plan of a cluster in Redis.
package redis

import (
	"context"
	"errors"

	goredis "github.com/redis/go-redis/v9"

	"gannet/internal/cluster"
	"gannet/internal/redis"
)

// Copy is a cluster.Copy: a string at the key "NAME:plan", without expiry.
type Copy struct {
	Client *redis.Client
	Name   string // of the cluster
}

func (c Copy) key() string { return c.Name + ":plan" }

// Load implements cluster.Copy.
func (c Copy) Load(ctx context.Context) (*cluster.Plan, error) {
	ctx, cancel := c.Client.Within(ctx)
	defer cancel()
	b, err := c.Client.Get(ctx, c.key()).Bytes()
	if errors.Is(err, goredis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return cluster.Decode(b)
}

// Save implements cluster.Copy.
func (c Copy) Save(ctx context.Context, plan *cluster.Plan) (*cluster.Plan, error) {
	b, err := plan.Encode()
	if err != nil {
		return nil, err
	}
	short, cancel := c.Client.Within(ctx)
	defer cancel()
	if err := c.Client.SetNX(short, c.key(), b, 0).Err(); err != nil {
		return nil, err
	}
	kept, err := c.Load(ctx)
	if err == nil && kept == nil {
		err = errors.New("cluster: what was written to Redis is not there")
	}
	return kept, err
}
