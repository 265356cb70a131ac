package gannet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"gannet/protocol"
)

// Platform is the kind of device that a client runs on.
type Platform uint8

// The platforms.
const (
	PlatformOther   Platform = 0
	PlatformMobile  Platform = 1
	PlatformDesktop Platform = 2
	PlatformWeb     Platform = 3
	PlatformBot     Platform = 4 // a program that nobody sits in front of
)

// Defaults and bounds of the options.
const (
	defaultWindow     = 256 // fills a link of 25 ms at 10,000 messages/s
	defaultBackoffMin = 200 * time.Millisecond
	defaultBackoffMax = 15 * time.Second // a server that comes back has all clients again within it
)

// Option changes how a client behaves. One that does not make sense is refused
// by New.
type Option func(*options) error

type options struct {
	token      func(ctx context.Context) (string, error)
	user       uint64 // 0: not said
	refresh    bool   // token comes from a source that may give another one
	device     uint64
	platform   Platform
	store      Store
	heartbeat  time.Duration
	name       string
	dial       func(ctx context.Context, network, addr string) (net.Conn, error)
	tls        *tls.Config
	log        *slog.Logger
	backoffMin time.Duration
	backoffMax time.Duration
	handler    Handler
	window     int
}

// WithTokenSource asks source for the token at every login, instead of using
// the one given to Dial. When the server says that a token expired the client
// logs in anew, and so asks again; when it calls a token bad after the client had
// been logged in, it asks once more. An error of the source before the first
// login ends the client, a later one counts as a failed attempt.
func WithTokenSource(source func(ctx context.Context) (string, error)) Option {
	return func(o *options) error {
		if source == nil {
			return errors.New("gannet: the token source is nil")
		}
		o.token, o.refresh = source, true
		return nil
	}
}

// WithUser says whom the token names, not 0. New refuses a Store of another user, and a
// login as another one ends the client, both with an *OwnerError. Without it a client
// knows that from a token that it can read and was given to New, but not from a token
// source.
//
// It matters to an app that starts offline: what it takes before its first login is sent
// in a later life, after a crash or a Close, only when both lives said the same user and
// address. What a client took that did not say is dropped then; see ErrDropped.
func WithUser(id uint64) Option {
	return func(o *options) error {
		if id == 0 {
			return errors.New("gannet: a user id is not 0")
		}
		o.user = id
		return nil
	}
}

// WithDevice sets the device id, not 0. The default is the one in the Store,
// else a random one, for this client alone: it begins after what some device of
// the user has received. With an id of its own, or a Store, a client begins where
// the device's own acks ended, so that it misses nothing: a device that is new, as
// with a new Store, gets all that the user was ever sent. A user's device has one
// connection: a later login under the same id ends the earlier client with
// CodeReplaced. Only where the client has itself given up a login that was not answered,
// within the last minute, that may be its own, and it connects again.
func WithDevice(id uint64) Option {
	return func(o *options) error {
		if id == 0 {
			return errors.New("gannet: a device id is not 0")
		}
		o.device = id
		return nil
	}
}

// WithPlatform says what kind of device this is; the default is PlatformOther.
func WithPlatform(p Platform) Option {
	return func(o *options) error {
		o.platform = p
		return nil
	}
}

// WithStore lets the messages that are not acked, outcomes that nobody has heard,
// what was received and read, and the device id survive a restart. A store belongs to
// one user, device and server, those of the first login with it: New refuses one that is
// known to be another user's or device's, and a login as another user or on another
// server ends the client, both with an *OwnerError. What a client took is never sent as
// another user. The client does not close the store. A nil Store is none; a nil *FileStore is refused, because an app
// that wants a store and has none would lose what it trusts to it.
func WithStore(s Store) Option {
	return func(o *options) error {
		if f, ok := s.(*FileStore); ok && f == nil {
			return errors.New("gannet: the FileStore is nil")
		}
		o.store = s
		return nil
	}
}

// WithHeartbeat asks the server for this heartbeat interval, in whole seconds
// from 1 s to 5 min; the default is the server's choice.
func WithHeartbeat(d time.Duration) Option {
	return func(o *options) error {
		if d < protocol.MinHeartbeat || d > protocol.MaxHeartbeat {
			return fmt.Errorf("gannet: a heartbeat is between %v and %v", protocol.MinHeartbeat, protocol.MaxHeartbeat)
		}
		o.heartbeat = d
		return nil
	}
}

// WithName names the client software for the server's logs.
func WithName(name string) Option {
	return func(o *options) error {
		if len(name) > protocol.MaxText {
			return fmt.Errorf("gannet: a name has at most %d bytes", protocol.MaxText)
		}
		o.name = name
		return nil
	}
}

// WithDialer makes connections by dial, for a proxy or a test. Read deadlines of
// its connections must work and leave the connection usable, as those of
// net.TCPConn and tls.Conn do.
func WithDialer(dial func(ctx context.Context, network, addr string) (net.Conn, error)) Option {
	return func(o *options) error {
		if dial == nil {
			return errors.New("gannet: the dialer is nil")
		}
		o.dial = dial
		return nil
	}
}

// WithTLS speaks TLS, also above the connections of WithDialer. Where config
// names no server, it is the host of the address; nil is the default config. A
// certificate that does not fit ends the first Connect.
func WithTLS(config *tls.Config) Option {
	return func(o *options) error {
		if config == nil {
			config = new(tls.Config)
		}
		o.tls = config.Clone()
		return nil
	}
}

// WithLogger logs what happens to the connection, the store and the hooks: losses
// and failures as warnings, the rest as information. Nothing is logged without it,
// and never a token or a body.
func WithLogger(l *slog.Logger) Option {
	return func(o *options) error {
		o.log = l
		return nil
	}
}

// WithBackoff bounds the pause before a new connection: a random time below
// least at first, below twice as much after each failure, below most at last.
func WithBackoff(least, most time.Duration) Option {
	return func(o *options) error {
		if least <= 0 || most < least {
			return fmt.Errorf("gannet: a backoff from %v to %v is none", least, most)
		}
		o.backoffMin, o.backoffMax = least, most
		return nil
	}
}

// WithHandler sets the hooks.
func WithHandler(h Handler) Option {
	return func(o *options) error {
		o.handler = h
		return nil
	}
}

// WithWindow sets how many messages may be on their way at once, from 1 to
// 1024; the default is 256.
func WithWindow(n int) Option {
	return func(o *options) error {
		if n < 1 || n > protocol.MaxUnacked {
			return fmt.Errorf("gannet: a window holds 1 to %d messages", protocol.MaxUnacked)
		}
		o.window = n
		return nil
	}
}
