package gannet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"gannet/protocol"
)

const (
	// loginTimeout bounds connecting and, anew, the wait for WELCOME.
	loginTimeout = 10 * time.Second

	// With several addresses the wait for one of them is firstTimeout at most, twice
	// as long each time that all were tried, and at most its share of the time that
	// Connect has, but never below leastTimeout.
	firstTimeout = 3 * time.Second
	leastTimeout = 500 * time.Millisecond

	// overtaken is for how long a HELLO that was not answered may still be carried out:
	// a server under load, or one that stood still, lets logins wait.
	overtaken = time.Minute

	// A retry on the same connection waits a random time below retryMin, doubled
	// with each try, below retryMax at last, on top of what the server asks for.
	retryMin = 50 * time.Millisecond
	retryMax = 5 * time.Second
)

// run is the reader: it keeps a connection until the client ends.
func (c *Client) run() {
	badTokens := 0 // in a row
	for attempt := 0; ; attempt++ {
		conn, err := c.login(c.patience(attempt / len(c.addrs)))
		kind := EventFailed
		if err == nil {
			kind, badTokens = EventLost, 0
			began := time.Now()
			err = c.serve(conn)
			conn.Close()
			c.hangUp()
			if time.Since(began) > c.opts.backoffMax {
				attempt = 0
			}
		}
		if errors.Is(err, CodeBadToken) {
			badTokens++
		}
		if c.life.Err() == nil {
			c.mu.Lock()
			c.lastFail = err
			c.mu.Unlock()
		}
		if c.final(err, badTokens) {
			c.finish(err)
			return
		}
		c.state.Store(int32(StateConnecting))
		address := c.link.address
		c.turnTo(err)
		pause := backoff(attempt/len(c.addrs), c.opts.backoffMin, c.opts.backoffMax)
		var e *Error
		if errors.As(err, &e) {
			pause += e.RetryAfter
		}
		c.tellEvent(Event{Kind: kind, Address: address, Err: err, Wait: pause})
		c.pause(pause)
	}
}

// turnTo chooses the address of the next attempt: the one that the server names, if
// it is one of those that the app gave, else the next one. All have been tried once
// when the first comes again, and then in another order.
func (c *Client) turnTo(err error) {
	var e *Error
	if errors.As(err, &e) && e.Address != "" {
		if i := slices.Index(c.addrs, e.Address); i >= 0 {
			c.next = i
			return
		}
	}
	if c.next++; c.next >= len(c.addrs) {
		c.next = 0
		last := c.addrs[len(c.addrs)-1]
		rand.Shuffle(len(c.addrs), func(i, k int) { c.addrs[i], c.addrs[k] = c.addrs[k], c.addrs[i] })
		if len(c.addrs) > 1 && c.addrs[0] == last { // the one that just failed is not the next
			c.addrs[0], c.addrs[1] = c.addrs[1], c.addrs[0]
		}
	}
}

// final says whether the client ends with this failure of a connection.
func (c *Client) final(err error, badTokens int) bool {
	if c.life.Err() != nil || errors.Is(err, errDrained) {
		return true
	}
	var owner *OwnerError
	if errors.As(err, &owner) || errors.Is(err, ErrStore) {
		return true
	}
	var e *Error
	if errors.As(err, &e) {
		switch {
		case e.Code == CodeTokenExpired && c.opts.refresh:
			return false
		case e.Code == CodeBadToken && c.opts.refresh && c.welcomed():
			return badTokens > 1
		case e.Code == CodeReplaced && c.overtook():
			return false
		}
		return e.Code.action() == protocol.ActionStop
	}
	return !c.welcomed() && !c.mayPass(err)
}

// overtook says whether a login that the client gave up a while ago may be what has
// replaced it. It says so once for each: what replaces the client after that is another
// one, and two that come back for ever would keep each other out.
func (c *Client) overtook() bool {
	maybe := !c.link.unanswered.IsZero() && time.Since(c.link.unanswered) < overtaken
	c.link.unanswered = time.Time{}
	return maybe
}

// welcomed says whether the client has been logged in.
func (c *Client) welcomed() bool {
	select {
	case <-c.ready:
		return true
	default:
		return false
	}
}

// mayPass says whether a failed first attempt may succeed later: the network
// failed, not what was asked of it, or there is another address.
func (c *Client) mayPass(err error) bool {
	var address *net.AddrError
	var name *net.DNSError
	if errors.As(err, &address) || errors.As(err, &name) && name.IsNotFound {
		return len(c.addrs) > 1
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF)
}

// pause waits before the next attempt, unless the client ends or has nothing to
// wait for any more.
func (c *Client) pause(d time.Duration) {
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
	return c.mayEnd()
}

// mayEnd is drained for who holds mu.
func (c *Client) mayEnd() bool {
	return c.closing && c.out.live == 0 && len(c.reads.marks) == 0 && (c.hasty || !c.queue.handling())
}

// patience gives how long connecting may take and, anew, the wait for WELCOME, after
// a number of rounds through the addresses. An address that does not answer must not
// keep the client from one that would.
func (c *Client) patience(rounds int) time.Duration {
	if len(c.addrs) == 1 {
		return loginTimeout
	}
	d := min(firstTimeout<<min(rounds, 8), loginTimeout)
	c.mu.Lock()
	defer c.mu.Unlock()
	if left := time.Until(c.hurry); left > 0 {
		d = min(d, max(left/time.Duration(len(c.addrs)-c.next), leastTimeout))
	}
	return d
}

// login makes a connection and gives it once WELCOME is there. What arrived
// after WELCOME is in c.in.
func (c *Client) login(patience time.Duration) (net.Conn, error) {
	if c.drained() {
		return nil, errDrained
	}
	address := c.addrs[c.next]
	c.link.address = address
	token, err := await(c.life, c.opts.token, func(string) {})
	if err != nil {
		return nil, fmt.Errorf("gannet: token: %w", err)
	}
	ctx, cancel := context.WithTimeout(c.life, patience)
	defer cancel()
	conn, err := await(ctx, func(ctx context.Context) (net.Conn, error) { return c.connect(ctx, address) }, func(conn net.Conn) { conn.Close() })
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(c.life, func() { conn.Close() })
	defer stop()
	welcome, err := c.greet(conn, token, patience)
	if err == nil {
		err = c.belongs(welcome)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	c.link.welcome = welcome
	return conn, nil
}

// await calls a function of the app's that may not heed its context, and does not
// wait for it when that ends; what it gives later is dropped.
func await[T any](ctx context.Context, call func(context.Context) (T, error), drop func(T)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	given := make(chan answer, 1)
	go func() {
		value, err := call(ctx)
		given <- answer{value, err}
	}()
	select {
	case a := <-given:
		return a.value, a.err
	case <-ctx.Done():
	}
	go func() {
		if a := <-given; a.err == nil {
			drop(a.value)
		}
	}()
	var none T
	return none, context.Cause(ctx)
}

// connect makes a connection, with TLS if that is wanted. It may outlive the reader's
// wait for it, so it touches nothing of the reader's.
func (c *Client) connect(ctx context.Context, address string) (net.Conn, error) {
	conn, err := c.opts.dial(ctx, "tcp", address)
	if err != nil || c.opts.tls == nil {
		return conn, err
	}
	config := c.opts.tls
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName, _, _ = net.SplitHostPort(address)
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secure, nil
}

// greet sends HELLO and waits for the answer.
func (c *Client) greet(conn net.Conn, token string, patience time.Duration) (protocol.Welcome, error) {
	var welcome protocol.Welcome
	conn.SetDeadline(time.Now().Add(patience))
	defer conn.SetDeadline(time.Time{})
	hello := protocol.Hello{
		Version:   protocol.Version,
		Token:     []byte(token),
		Device:    c.device,
		Platform:  protocol.Platform(c.opts.platform),
		Heartbeat: uint16((c.opts.heartbeat + time.Second - 1) / time.Second),
		Name:      []byte(c.opts.name),
	}
	before := c.link.unanswered
	c.link.unanswered = time.Now() // unless an answer comes
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
		c.link.unanswered = before
		switch f.Type {
		case protocol.TypeWelcome:
			err = welcome.Decode(f.Payload)
			welcome.Server = slices.Clone(welcome.Server)
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
