package gannet

import (
	"context"
	"fmt"
	"net"
	"time"

	"gannet/protocol"
)

// Platform is the kind of device that a client runs on.
type Platform = protocol.Platform

// The platforms.
const (
	Other   = protocol.PlatformOther
	Mobile  = protocol.PlatformMobile
	Desktop = protocol.PlatformDesktop
	Web     = protocol.PlatformWeb
	Bot     = protocol.PlatformBot
)

// Handler has the hooks of a client. They are called one at a time, in order,
// on the goroutine that reads the connection, so they must not wait: SendFunc
// is fine in them, Send, History, Close and the like would wait for ever. A nil
// hook is skipped.
type Handler struct {
	// Message gets every message of others, and those of this user's other
	// devices; each counts as received when the call returns.
	Message func(Message)

	// Receipt gets every risen cursor while the client is online; those that
	// rose in between are in Conversations.
	Receipt func(Receipt)

	// Refused gets why the server does not take messages for the moment, and for how
	// long; the client keeps all of them back until then and sends them again by itself.
	Refused func(*Error)

	// State gets every change of state. With Connecting comes why the
	// connection ended or could not be had, with Closed what Err gives.
	State func(State, error)
}

// Defaults and bounds of the options.
const (
	defaultWindow     = 256 // fills a link of 25 ms at 10,000 messages/s
	defaultBackoffMin = 200 * time.Millisecond
	defaultBackoffMax = 15 * time.Second // a server that comes back has all clients again within it
)

// Option changes how a client is dialled or behaves.
type Option func(*options) error

type options struct {
	token      func(ctx context.Context) (string, error)
	refresh    bool // token comes from a source that may give another one
	device     uint64
	platform   Platform
	store      Store
	heartbeat  time.Duration
	name       string
	dial       func(ctx context.Context, network, addr string) (net.Conn, error)
	backoffMin time.Duration
	backoffMax time.Duration
	handler    Handler
	window     int
}

// WithTokenSource asks source for the token at every login, instead of using
// the one given to Dial. When the server says that a token expired the client
// logs in anew, and so asks again.
func WithTokenSource(source func(ctx context.Context) (string, error)) Option {
	return func(o *options) error {
		o.token, o.refresh = source, true
		return nil
	}
}

// WithDevice sets the device id, not 0. The default is the one in the Store,
// else a random one, for this client alone: it begins after what some device of
// the user has received. With an id of its own, or a Store, a client begins where
// the device's own acks ended, so that it misses nothing. A user's device has one connection: a later login under
// the same id closes the earlier client.
func WithDevice(id uint64) Option {
	return func(o *options) error {
		if id == 0 {
			return fmt.Errorf("gannet: a device id is not 0")
		}
		o.device = id
		return nil
	}
}

// WithPlatform says what kind of device this is; the default is Other.
func WithPlatform(p Platform) Option {
	return func(o *options) error {
		o.platform = p
		return nil
	}
}

// WithStore lets the messages that are not acked, the cursors and the device id
// survive a restart. A store serves one client at a time, and one user of one server
// in its life. The client does not close it.
func WithStore(s Store) Option {
	return func(o *options) error {
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

// WithDialer makes connections by dial, for TLS or a proxy. Read deadlines of
// its connections must work and leave the connection usable, as those of
// net.TCPConn and tls.Conn do.
func WithDialer(dial func(ctx context.Context, network, addr string) (net.Conn, error)) Option {
	return func(o *options) error {
		o.dial = dial
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
// protocol.MaxUnacked; the default is 256.
func WithWindow(n int) Option {
	return func(o *options) error {
		if n < 1 || n > protocol.MaxUnacked {
			return fmt.Errorf("gannet: a window holds 1 to %d messages", protocol.MaxUnacked)
		}
		o.window = n
		return nil
	}
}
