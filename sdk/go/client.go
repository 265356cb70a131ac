package gannet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// State says what a client is doing.
type State int32

// The states.
const (
	Connecting State = iota // dialling, logging in or pausing between attempts
	Online                  // logged in
	Closed                  // for good
)

// String names the state.
func (s State) String() string {
	return [...]string{"connecting", "online", "closed"}[s]
}

// Client is one device of one user, connected for as long as it is not closed.
//
// One goroutine, the reader, lives as long as the client: it connects, reads,
// calls the hooks, keeps all times by the read deadline of the connection, and
// connects again. What it alone touches needs no lock. Everything that callers
// touch too is under mu; nobody waits for the network, a hook or the disk's
// fsync while holding it. The queue and the store have locks of their own, taken
// after mu where both are held.
type Client struct {
	addr   string
	opts   options
	device uint64

	passing bool // the device was made for this client and is not used again

	life  context.Context // ends when Close will wait no longer
	end   context.CancelCauseFunc
	first chan error    // the outcome of the first login, for Dial
	quit  chan struct{} // closed when Close begins or the client stops
	ended chan struct{} // closed when the reader is through
	wake  chan struct{} // ends a pause of the reader

	user   atomic.Uint64
	state  atomic.Int32
	poked  atomic.Bool // somebody has news for the reader
	corked atomic.Bool // the reader will flush at the end of its turn

	mu       sync.Mutex
	closing  bool
	wire     writer
	out      pending
	requests []*request
	numbers  counter
	err      error // why it stopped for good
	closeErr error // what Close returns

	queue queue // for Messages

	in    input     // the reader's
	inbox inbox     // the reader's
	link  link      // the reader's
	due   deadlines // the reader's
}

// User gives the user whom the token names.
func (c *Client) User() uint64 { return c.user.Load() }

// Device gives the device id.
func (c *Client) Device() uint64 { return c.device }

// State gives the state.
func (c *Client) State() State { return State(c.state.Load()) }

// Err says why the client closed for good: what the server refused. It is nil
// while the client works and after a Close.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close takes no more messages, waits until ctx ends for the acks of those that
// were sent, and ends everything. It returns nil when all were acked, otherwise
// why not; a second Close returns the same. What was not acked is told
// ErrClosed; a Store keeps it for the next Dial.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	c.stopTaking()
	c.mu.Unlock()
	c.poke()
	select {
	case <-c.ended:
	case <-ctx.Done():
		c.end(ctx.Err())
		<-c.ended
	}
	return c.closeErr
}

// stopTaking refuses new messages and requests from now on. The caller holds mu.
func (c *Client) stopTaking() {
	if !c.closing {
		c.closing = true
		close(c.quit)
	}
}

// finish ends the client for good: everybody who waits is told why. It is the
// last that the reader does.
func (c *Client) finish(why error) {
	c.mu.Lock()
	c.stopTaking()
	if c.err == nil && !errors.Is(why, errDrained) && c.life.Err() == nil {
		c.err = why
	}
	tell := c.err
	if tell == nil {
		tell = ErrClosed
	}
	if c.life.Err() != nil {
		why = context.Cause(c.life)
	}
	left := c.out.abandon()
	if len(left) > 0 {
		c.closeErr = fmt.Errorf("gannet: closed with %d messages not acked: %w", len(left), why)
	}
	requests := c.requests
	c.requests = nil
	stopped := c.err
	c.mu.Unlock()

	c.end(ErrClosed)
	for _, e := range left {
		if e.done != nil {
			e.done(Ack{}, tell)
		}
	}
	for _, r := range requests {
		r.reply <- answer{err: tell}
	}
	c.setState(Closed, stopped)
	select {
	case c.first <- why:
	default: // Dial has its answer
	}
	close(c.ended)
}

// refusal is what a closed client answers. The caller holds mu.
func (c *Client) refusal() error {
	if c.err != nil {
		return c.err
	}
	return ErrClosed
}

func (c *Client) setState(s State, why error) {
	c.state.Store(int32(s))
	if hook := c.opts.handler.State; hook != nil {
		hook(s, why)
	}
}

// poke makes the reader look for news now.
func (c *Client) poke() {
	c.poked.Store(true)
	select {
	case c.wake <- struct{}{}:
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wire.conn != nil {
		// The reader sets its own deadline first and looks at poked after, so
		// one of the two always reaches it.
		c.wire.conn.SetReadDeadline(past)
	}
}
