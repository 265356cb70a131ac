// Package redis connects to Redis, one server or a cluster, as the adapters of all
// ports need it.
//
// What a caller may rely on: every call ends within Options.Timeout, whatever the
// server does. One server is never asked twice for one call. A cluster may be: after
// MOVED, where the first asking did nothing, but also where a connection broke before
// the answer came. So every script that runs here is written for being run twice in
// a row: what it did the first time makes the second time a repetition that it
// recognizes, and it gives the same answer. All reads are of masters.
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

// Client is a connection to Redis, for any number of goroutines. Calls of the embedded
// client are bounded by their context alone when that is shorter than the timeout.
type Client struct {
	goredis.UniversalClient
	timeout time.Duration
	cluster bool
}

// New makes a Client. It does not connect: Check says whether all is well.
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
	return &Client{timeout: timeout, cluster: cluster, UniversalClient: goredis.NewUniversalClient(&goredis.UniversalOptions{
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

// seldom writes what the library says about connections, at most a line a second: a
// server that is away makes it say the same thing for every call.
type seldom struct{ said operate.Seldom }

// Printf implements the logger of the library.
func (s *seldom) Printf(_ context.Context, format string, v ...any) {
	if s.said.Now() {
		slog.Warn("redis: " + line(format, v...))
	}
}
