// Package redis connects to Redis, one server or a cluster, for the adapters of all ports.
//
// Every call ends within Options.Timeout, whatever the server does. A single server never gets a
// call twice. A cluster may: after MOVED, where the first server did nothing, but also where a
// connection broke before the answer came. So every script that runs here must allow for being
// run twice in a row: the second run must recognize that it is a repetition, change nothing more
// and give the same answer. All reads go to masters.
package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"gannet/internal/operate"
)

// DefaultTimeout is how long a call takes at most, connecting included.
const DefaultTimeout = 500 * time.Millisecond

// Options say which Redis, and how.
type Options struct {
	// Addresses are one server as host:port, or several members of one cluster.
	Addresses []string

	// Cluster says that a single address is one of a cluster.
	Cluster bool

	Username, Password string
	TLS                *tls.Config   // nil: none
	Timeout            time.Duration // 0: DefaultTimeout
}

// Client is a connection to Redis. Any number of goroutines may use it. A call of the embedded
// client ends earlier than the timeout only if its context does.
type Client struct {
	goredis.UniversalClient
	timeout   time.Duration
	cluster   bool
	tls       bool
	addresses []string
}

// New makes a Client. It does not connect; Check does.
func New(o Options) (*Client, error) {
	if len(o.Addresses) == 0 {
		return nil, errors.New("redis: no address is given")
	}
	logOnce.Do(func() { goredis.SetLogger(&seldom{}) })
	timeout := o.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	cluster := o.Cluster || len(o.Addresses) > 1
	return &Client{timeout: timeout, cluster: cluster, tls: o.TLS != nil, addresses: o.Addresses, UniversalClient: goredis.NewUniversalClient(&goredis.UniversalOptions{
		Addrs:         o.Addresses,
		IsClusterMode: cluster,
		Username:      o.Username,
		Password:      o.Password,
		TLSConfig:     o.TLS,

		Protocol:              2,
		ContextTimeoutEnabled: true,
		DialTimeout:           timeout,
		DialerRetries:         1,
		ReadTimeout:           timeout,
		WriteTimeout:          timeout,
		PoolTimeout:           timeout,
		MaxRetries:            -1,
		MinRetryBackoff:       time.Millisecond,
		MaxRetryBackoff:       50 * time.Millisecond, // of a cluster, between redirections

		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})}, nil
}

// Within gives a context that ends when a call must.
func (c *Client) Within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.timeout)
}

// Timeout is how long a call takes at most.
func (c *Client) Timeout() time.Duration { return c.timeout }

var logOnce sync.Once

// seldom logs what the library says about connections, at most one line a second. Without this
// limit a server that is away would cause one line for every call.
type seldom struct{ said operate.Seldom }

// Printf implements the logger of the library.
func (s *seldom) Printf(_ context.Context, format string, v ...any) {
	if s.said.Now() {
		slog.Warn("redis: " + line(format, v...))
	}
}
