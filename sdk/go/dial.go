package gannet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"gannet/protocol"
)

const (
	// loginTimeout bounds connecting and, anew, the wait for WELCOME.
	loginTimeout = 10 * time.Second

	// A retry on the same connection waits a random time below retryMin, doubled
	// with each try, below retryMax at last, on top of what the server asks for.
	retryMin = 50 * time.Millisecond
	retryMax = 5 * time.Second
)

// Dial connects, logs in and returns once the server has welcomed the client
// and the sync of what it missed has begun. Within ctx it keeps trying when the
// connection is refused or breaks, or the server says that a later attempt may
// succeed; any other failure returns at once. ctx bounds Dial alone, not the
// client.
//
// addr is host:port; token is what the server's operator gave out.
func Dial(ctx context.Context, addr string, token string, opts ...Option) (*Client, error) {
	o := options{
		token:      func(context.Context) (string, error) { return token, nil },
		dial:       new(net.Dialer).DialContext,
		backoffMin: defaultBackoffMin,
		backoffMax: defaultBackoffMax,
		window:     defaultWindow,
	}
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	c := &Client{
		addr:  addr,
		opts:  o,
		first: make(chan error, 1),
		quit:  make(chan struct{}),
		ended: make(chan struct{}),
		wake:  make(chan struct{}, 1),
		queue: queue{ready: make(chan struct{}, 1)},
	}
	if err := c.remember(); err != nil {
		return nil, err
	}
	c.life, c.end = context.WithCancelCause(context.Background())
	go c.run()
	select {
	case err := <-c.first:
		if err != nil {
			<-c.ended
			return nil, err
		}
		return c, nil
	case <-ctx.Done():
		c.end(ctx.Err())
		<-c.ended
		if last := c.link.failure; last != nil {
			return nil, fmt.Errorf("gannet: dial %s: %w (the last attempt: %w)", addr, ctx.Err(), last)
		}
		return nil, fmt.Errorf("gannet: dial %s: %w", addr, ctx.Err())
	}
}

// remember fills a new client from its store.
func (c *Client) remember() error {
	var saved Saved
	if c.opts.store != nil {
		var err error
		if saved, err = c.opts.store.Load(); err != nil {
			return fmt.Errorf("gannet: store: %w", err)
		}
	}
	c.device = c.opts.device
	if c.device == 0 {
		c.device = saved.Device
	}
	c.passing = c.device == 0 && c.opts.store == nil
	for c.device == 0 {
		c.device = rand.Uint64()
	}
	if c.opts.store != nil && c.device != saved.Device {
		err := c.opts.store.SetDevice(c.device)
		if err == nil {
			err = c.opts.store.Sync()
		}
		if err != nil {
			return fmt.Errorf("gannet: store: %w", err)
		}
	}
	// Ids must rise also for a device whose store is lost, so they begin at the
	// clock; one message per microsecond is more than a device sends.
	c.out.init(saved, c.opts.window, uint64(time.Now().UnixMicro()))
	c.inbox.init(saved)
	return nil
}

// run is the reader: it keeps a connection until the client ends.
func (c *Client) run() {
	for attempt := 0; ; attempt++ {
		conn, err := c.login()
		if err == nil {
			began := time.Now()
			err = c.serve(conn)
			conn.Close()
			c.hangUp()
			if time.Since(began) > c.opts.backoffMax {
				attempt = 0
			}
		}
		if c.life.Err() == nil {
			c.link.failure = err
		}
		if c.final(err) {
			c.finish(err)
			return
		}
		c.setState(Connecting, err)
		c.pause(backoff(attempt, c.opts.backoffMin, c.opts.backoffMax), err)
	}
}

// final says whether the client ends with this failure of a connection.
func (c *Client) final(err error) bool {
	if c.life.Err() != nil || errors.Is(err, errDrained) || errors.Is(err, errOtherUser) {
		return true
	}
	var e *Error
	if errors.As(err, &e) {
		if e.Code == protocol.CodeTokenExpired && c.opts.refresh {
			return false
		}
		return e.Code.Action() == protocol.ActionStop
	}
	return c.User() == 0 && !mayPass(err)
}

// mayPass says whether a failed first attempt may succeed later: the network
// failed, not what was asked of it.
func mayPass(err error) bool {
	var address *net.AddrError
	var name *net.DNSError
	if errors.As(err, &address) || errors.As(err, &name) && name.IsNotFound {
		return false
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF)
}

// pause waits before the next attempt, unless the client ends or has nothing to
// wait for any more.
func (c *Client) pause(d time.Duration, why error) {
	var e *Error
	if errors.As(why, &e) {
		d += e.RetryAfter
	}
	t := time.NewTimer(d)
	defer t.Stop()
	for !c.drained() {
		select {
		case <-t.C:
			return
		case <-c.life.Done():
			return
		case <-c.wake:
		}
	}
}

// drained says whether Close has nothing to wait for.
func (c *Client) drained() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing && c.out.live == 0
}

// login makes a connection and gives it once WELCOME is there. What arrived
// after WELCOME is in c.in.
func (c *Client) login() (net.Conn, error) {
	if c.drained() {
		return nil, errDrained
	}
	token, err := c.opts.token(c.life)
	if err != nil {
		return nil, fmt.Errorf("gannet: token: %w", err)
	}
	ctx, cancel := context.WithTimeout(c.life, loginTimeout)
	conn, err := c.opts.dial(ctx, "tcp", c.addr)
	cancel()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(c.life, func() { conn.Close() })
	defer stop()
	welcome, err := c.greet(conn, token)
	if err != nil {
		conn.Close()
		return nil, err
	}
	if user := c.User(); user != 0 && user != welcome.User {
		conn.Close()
		return nil, errOtherUser
	}
	c.user.Store(welcome.User)
	c.link.welcome = welcome
	return conn, nil
}

// greet sends HELLO and waits for the answer.
func (c *Client) greet(conn net.Conn, token string) (protocol.Welcome, error) {
	var welcome protocol.Welcome
	conn.SetDeadline(time.Now().Add(loginTimeout))
	defer conn.SetDeadline(time.Time{})
	hello := protocol.Hello{
		Version:   protocol.Version,
		Token:     []byte(token),
		Device:    c.device,
		Platform:  c.opts.platform,
		Heartbeat: uint16((c.opts.heartbeat + time.Second - 1) / time.Second),
		Name:      []byte(c.opts.name),
	}
	if _, err := conn.Write(hello.AppendFrame(nil, 1)); err != nil {
		return welcome, err
	}
	c.in.reset()
	for {
		if err := c.in.read(conn); err != nil {
			return welcome, err
		}
		f, n, err := protocol.Split(c.in.data, protocol.MaxFrame)
		if err != nil {
			return welcome, err
		}
		if n == 0 {
			continue
		}
		switch f.Type {
		case protocol.TypeWelcome:
			err = welcome.Decode(f.Payload)
		case protocol.TypeClose, protocol.TypeError:
			err = failure(f.Payload)
		default:
			err = fmt.Errorf("gannet: the server answers HELLO with frame type %#x", uint8(f.Type))
		}
		c.in.data = c.in.data[n:]
		return welcome, err
	}
}

// backoff gives the pause after a number of failures, with full jitter.
func backoff(failures int, least, most time.Duration) time.Duration {
	limit := most
	if failures < 16 && least<<failures < most {
		limit = least << failures
	}
	return rand.N(limit)
}

// retryDelay gives the pause before the given retry on the same connection,
// counted from 1.
func retryDelay(retry int, asked time.Duration) time.Duration {
	return asked + backoff(retry-1, retryMin, retryMax)
}
