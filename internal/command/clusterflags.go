package command

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"

	"gannet/internal/cluster"
	"gannet/internal/directory"
	directoryredis "gannet/internal/directory/redis"
	"gannet/internal/redis"
	"gannet/internal/registry"
	registryredis "gannet/internal/registry/redis"
)

// clusterFlags say which cluster a command belongs to: the same for all its nodes.
type clusterFlags struct {
	Cluster string `default:"gannet" placeholder:"NAME" help:"Name of the cluster; keys, topics and tables have it in theirs, so several may share servers."`

	Redis         []string `default:"127.0.0.1:6379" placeholder:"ADDR" help:"Redis: one server, or several members of a Redis Cluster."`
	RedisCluster  bool     `help:"The one address of --redis is of a Redis Cluster."`
	RedisUser     string   `placeholder:"NAME" help:"User for Redis."`
	RedisPassword string   `placeholder:"SECRET" help:"Password for Redis; better set in the environment or the settings file than on a command line, which others can see."`
	RedisTLS      bool     `name:"redis-tls" help:"Speak TLS with Redis."`
}

// Validate refuses settings that cannot be meant.
func (f *clusterFlags) Validate() error {
	if err := cluster.CheckName(f.Cluster); err != nil {
		return fmt.Errorf("--cluster: %w", err)
	}
	return checkAddresses("redis", "Redis", f.Redis)
}

// redisClient makes the client of Redis. Whether Redis answers and can be used is checked by
// redis.Client.Check.
func (f *clusterFlags) redisClient() (*redis.Client, error) {
	o := redis.Options{Addresses: f.Redis, Cluster: f.RedisCluster, Username: f.RedisUser, Password: f.RedisPassword}
	if f.RedisTLS {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return redis.New(o)
}

// live is the part of a cluster that changes: which nodes are registered and which devices are
// connected. Nodes use it, and so do commands that are not nodes.
type live struct {
	client    *redis.Client
	registry  *registryredis.Registry
	directory *directoryredis.Directory
}

// openLive connects to Redis, and opens the registry and the directory in it. They log troubles to
// log.
func (f *clusterFlags) openLive(ctx context.Context, log *slog.Logger) (l *live, err error) {
	l = &live{}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if l.client, err = f.redisClient(); err != nil {
		return l, err
	}
	if err = l.client.Check(ctx); err != nil {
		return l, fmt.Errorf("%w (which Redis it is says --redis)", err)
	}
	if l.registry, err = registryredis.Open(ctx, l.client, registryredis.Options{Prefix: f.Cluster, Logger: log}); err != nil {
		return l, err
	}
	l.directory = directoryredis.New(l.client, directoryredis.Options{Prefix: f.Cluster, Ended: l.registry.Ended, Logger: log})
	return l, nil
}

func (l *live) close() {
	if l.registry != nil {
		l.registry.Close()
	}
	if l.client != nil {
		_ = l.client.Close()
	}
}

// devices gives where the devices of a user are connected.
func (l *live) devices(ctx context.Context, user uint64) ([]directory.Device, error) {
	_, devices, err := l.directory.Devices(ctx, []directory.Lookup{{User: user}}, nil, nil)
	return devices, err
}

// gateway gives the node with this epoch, and false if it is not registered.
func (l *live) gateway(epoch uint64) (registry.Node, bool) { return l.registry.View().Epoch(epoch) }

// errNobody says that there are no nodes.
var errNobody = errors.New("no node of this cluster is registered in this Redis")
